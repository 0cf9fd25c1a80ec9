"""The words of chest radiographs that `radgraph_rules` knows, by the part they play.

A word has one part here; what a neighbour makes of it is decided where phrases are read.
"""

import re
from collections.abc import Mapping
from enum import Enum, auto
from functools import cache
from typing import Final, final


@final
class Part(Enum):
    """What a word may be in a phrase."""

    PLACE = auto()
    """A noun of anatomy: lung, rib, silhouette."""
    REGION = auto()
    """An adjective of anatomy, a place by itself where no noun follows: pleural, basilar."""
    SIDE = auto()
    """Which, or which side of a place: left, upper, both."""
    FINDING = auto()
    """A noun of observation: effusion, catheter."""
    QUALITY = auto()
    """An adjective of observation: mild, normal, enlarged."""
    DEGREE = auto()
    """An adverb, part of an observation only before an adjective: mildly, well."""
    MEASURE = auto()
    """A unit of length, part of an observation only after a number."""
    SILENT = auto()
    """Of no weight, and parts no phrase: a hidden word, "definite"."""


PLACES: Final = frozenset(
    """
    lung lungs heart mediastinum cardiomediastinum lobe lobes base bases apex apices zone zones
    midlung midlungs hemithorax thorax chest pleura diaphragm diaphragms hemidiaphragm
    hemidiaphragms angle angles sulcus sulci fissure fissures hilum hila silhouette silhouettes
    contour contours shadow shadows outline border borders margin margins knob arch aorta artery
    arteries vein veins vessel vessels vasculature vascularity markings interstitium parenchyma
    trachea carina bronchus bronchi airway airways esophagus stomach bowel colon abdomen spleen
    liver kidney gallbladder neck shoulder shoulders arm breast breasts nipple axilla spine t-spine
    vertebra vertebrae disc disk discs disks endplate endplates rib ribs clavicle clavicles sternum
    manubrium scapula scapulae humerus bone bones skeleton cage wall structures structure tissue
    tissues space spaces interspace interspaces junction atrium ventricle svc ivc cava vena lingula
    region regions aspect aspects portion portions segment segments side sides dome domes node nodes
    joint joints column body bodies quadrant window stripe configuration volumes size sizes width
    caliber field fields cavity pericardium appendage thymus gland thyroid acromion glenoid skin
    cartilage ligament muscle cord canal root bulb trunk pelvis knee hand foot cartilages recess
    recesses sacrum epigastrium fossa fossae midabdomen periphery
    """.split()  # noqa: SIM905
)
REGIONS: Final = frozenset(
    """
    pleural pulmonary cardiac mediastinal cardiomediastinal cardiopulmonary hilar perihilar
    parahilar suprahilar infrahilar basilar bibasilar basal bibasal apical biapical retrocardiac
    retrosternal substernal subpleural paratracheal paramediastinal paraspinal interstitial alveolar
    parenchymal lobar lingular vascular venous arterial aortic tracheal bronchial peribronchial
    bronchovascular bronchopulmonary bony osseous skeletal costal costochondral costophrenic
    cardiophrenic clavicular sternal vertebral thoracic intrathoracic cervical lumbar thoracolumbar
    midthoracic lumbosacral spinal scapular humeral glenohumeral acromioclavicular ac diaphragmatic
    subdiaphragmatic infradiaphragmatic intraperitoneal peritoneal intra-abdominal intraabdominal
    abdominal axillary supraclavicular subclavian jugular brachiocephalic innominate cavoatrial
    caval atrial ventricular valvular mitral tricuspid coronary carotid pericardial epicardial
    subcutaneous gastric esophageal gastroesophageal hepatic splenic renal juxtahilar
    peribronchovascular lymphatic endobronchial intracardiac cardiothymic cardiothoracic cardio
    costovertebral pleuroparenchymal pleural-parenchymal pleuro-parenchymal septal fissural azygos
    azygous lymph nodal paracardiac pericardiac hiatal subphrenic subcarinal peritracheal
    aorticopulmonary colonic interlobar intervertebral biliary epipericardial osseus bi-basilar
    midlobe costo-phrenic cardio-phrenic centrilobular
    """.split()  # noqa: SIM905
)
SIDES: Final = frozenset(
    """
    left right bilateral bilaterally both either left-sided right-sided unilateral upper lower mid
    middle lateral medial anterior posterior superior inferior proximal distal dorsal ventral
    posterolateral anterolateral posteromedial anteromedial posteriorly anteriorly laterally
    medially superiorly inferiorly inferolateral superolateral superomedial inferomedial peripheral
    peripherally central descending ascending transverse remaining visualized visible imaged main
    dependent contralateral ipsilateral first second third fourth fifth sixth seventh eighth ninth
    tenth eleventh twelfth 1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th 11th 12th median midshaft hemi
    major minor horizontal oblique inner outer
    """.split()  # noqa: SIM905
)
ALONE: Final = frozenset(
    """
    bilaterally posteriorly anteriorly laterally medially superiorly inferiorly peripherally
    centrally
    """.split()  # noqa: SIM905
)
"""Places that stand behind what is there: "clear bilaterally"."""
FINDINGS: Final = frozenset(
    """
    effusion effusions pneumothorax pneumothoraces hydropneumothorax hemothorax hydrothorax
    consolidation consolidations opacity opacities opacification opacifications density densities
    infiltrate infiltrates infiltration infiltrations atelectasis atelectases edema pneumonia
    pneumonias bronchopneumonia pneumonitis infection infections abscess empyema cardiomegaly
    enlargement widening broadening prominence fullness congestion engorgement redistribution
    cephalization nodule nodules nodularity mass masses lesion lesions tumor tumors cancer
    malignancy neoplasm metastasis metastases carcinoma lymphoma granuloma granulomas granulomata
    calcification calcifications atherosclerosis arteriosclerosis emphysema copd fibrosis scar scars
    scarring thickening plaque plaques cap capping blunting elevation eventration flattening hernia
    hernias fracture fractures deformity deformities dislocation subluxation displacement separation
    fragment fragments callus formation irregularity irregularities osteophyte osteophytes
    osteophytosis spurring spurs spondylosis scoliosis kyphosis kyphoscoliosis dextroscoliosis
    levoscoliosis lordosis curvature osteopenia osteoporosis demineralization arthritis arthrosis
    arthropathy hyperinflation hyperexpansion hypoinflation hypoventilation hyperaeration
    hyperlucency lucency lucencies volume inflation aeration collapse loss shift deviation
    tortuosity ectasia unfolding aneurysm dilatation dilation dissection bronchiectasis bronchitis
    bronchogram bronchograms bronchiolitis cuffing crowding trapping air gas fluid collection
    collections haziness haze adenopathy lymphadenopathy pneumoperitoneum pneumomediastinum
    pneumopericardium bulla bullae bleb blebs cavitation cavitations cyst cysts honeycombing
    tuberculosis sarcoidosis histoplasmosis silicosis asbestosis pneumoconiosis failure overload
    hypertension cardiomyopathy infarct infarction hemorrhage contusion aspiration injury trauma
    disease diseases process processes abnormality abnormalities change changes finding findings
    pathology appearance pattern patterns focus foci streak streaks band bands line lines meniscus
    artifact artifacts shadowing overlap sequela sequelae obscuration silhouetting tube tubes
    catheter catheters picc port portacath port-a-cath mediport pacemaker pacemakers pacer icd aicd
    defibrillator generator device devices lead leads wire wires wiring tip tips electrode
    electrodes drain drains stent stents valve valves prosthesis prostheses clip clips suture
    sutures staples hardware plate plates screw screws rod rods fixation fusion arthroplasty
    sternotomy thoracotomy thoracostomy lobectomy pneumonectomy mastectomy cabg cholecystectomy
    tracheostomy sheath pump balloon coil coils filter graft stimulator tubing pin anchor anchors
    intubated position placement malposition kink pleurodesis resection surgery ett ngt increase
    decrease improvement worsening progression resolution clearing stability development growth
    expansion redemonstration persistence recurrence removal gynecomastia pectus hiatus exacerbation
    distention distension obstruction perforation ileus constipation symmetry asymmetry mottling
    reticulation reticulations granularity laceration anomaly variant variants bullet pellets
    shrapnel xxxx-a-xxxx tb implant implants streakiness confluence monitor vertebroplasty
    kyphoplasty laminectomy narrowing erosion erosions disruption retraction island islands
    amputation embolism embolization wound wounds piercing piercings neurostimulator shunt
    replacement bypass paralysis malalignment retrolisthesis distortion tenting stranding
    pneumatocele pneumatoceles radiodensity radiodensities dislocations gallstone gallstones defect
    defects convexity depression hypertrophy interposition dextrocurvature levocurvature
    osteochondroma exaggeration subluxations sclerosis compression
    """.split()  # noqa: SIM905
)
NORMAL: Final = frozenset(
    """
    normal unremarkable clear intact stable unchanged symmetric symmetrical preserved sharp midline
    smooth patent maintained similar constant satisfactory appropriate regular within_normal_limits
    within_limits_of_normal upper_limits_of_normal upper_limits_normal top_normal aligned
    well-aerated well-expanded well-inflated well-defined expanded inflated aerated defined
    nonenlarged non-enlarged undisplaced nondisplaced non-displaced uncomplicated benign normally
    unobstructed delineated
    """.split()  # noqa: SIM905
)
"""Adjectives of what is as it should be; only "not" itself denies them."""
QUALITIES: Final = NORMAL | frozenset(
    """
    abnormal mild moderate severe marked gross slight minimal trace tiny small large massive sizable
    moderate-sized medium-sized medium big huge mild-to-moderate moderate-to-large small-to-moderate
    moderate-to-severe limited subtle extensive broad low high faint vague questionable borderline
    focal multifocal diffuse patchy hazy streaky linear reticular reticulonodular nodular rounded
    round ovoid oval lobulated spiculated irregular circumscribed well-circumscribed ill-defined
    poorly-defined marginated masslike mass-like confluent coalescing homogeneous heterogeneous
    bandlike band-like platelike plate-like discoid subsegmental segmental wedge-shaped wedge
    airspace air-space ground-glass groundglass veil-like dense calcified noncalcified non-calcified
    calcific granulomatous cavitary cavitating fibrotic fibronodular cystic bullous emphysematous
    obstructive restrictive interlobular loculated layering subpulmonic consolidated consolidative
    atelectatic collapsed congestive congested engorged cephalized indistinct prominent enlarged
    widened broadened dilated increased decreased reduced diminished elevated depressed flattened
    blunted obscured effaced shifted deviated displaced non-specific nonspecific tortuous ectatic
    unfolded aneurysmal atherosclerotic uncoiled hyperexpanded hyperinflated hypoinflated
    underinflated hyperlucent lucent overexpanded underexpanded overinflated hypoventilated wide
    excavatum degenerative arthritic osteoarthritic hypertrophic sclerotic lytic osteopenic
    demineralized kyphotic scoliotic compressed fractured healed healing unhealed comminuted
    overlapping angulated cortical old remote chronic acute subacute active new recent interval
    residual persistent recurrent resolving resolved improved improving worsening worsened worse
    progressive increasing decreasing continued known underlying superimposed associated adjacent
    scattered multiple several numerous few single solitary discrete suspicious significant
    infectious inflammatory metastatic malignant neoplastic tuberculous pneumonic postsurgical
    post-surgical postoperative post-operative surgical posttraumatic post-traumatic congenital
    developmental age-indeterminate indeterminate multilevel free absent partial complete incomplete
    early developing compensatory passive coarse coarsened crowded accentuated exaggerated fluffy
    batwing endotracheal nasogastric orogastric enteric feeding dual-lead single-lead dual-chamber
    dual pacing cerclage metallic prosthetic implanted indwelling standard expected radiopaque
    opaque foreign shallow poor suboptimal asymmetric asymmetrical thickened thick thin tubular
    globular opacified edematous hemorrhagic reactive subcentimeter punctate miliary biconvex bulky
    overt innumerable dominant curvilinear mixed expansile radiodense atypical primary advanced
    strandy evolving multilobar idiopathic viral hyperaerated distended retained tunneled
    generalized narrowed broken degenerated retracted eventrated convex concave septic aspirated
    exuberant bridging noncardiogenic cardiogenic
    """.split()  # noqa: SIM905
)
DEVICES: Final = frozenset(
    """
    tube tubes catheter catheters line lines picc port pacemaker pacemakers device devices lead
    leads wire wires drain drains
    """.split()  # noqa: SIM905
)
STRICT: Final = frozenset(
    """
    acute focal active suspicious significant discrete multifocal other new interval single known
    several few multiple numerous associated adjacent underlying early recent surgical foreign dual
    pacing
    """.split()  # noqa: SIM905
)
"""Adjectives that only describe an observation: before a place they say nothing of it."""
SIZES: Final = frozenset("size sizes width caliber contour configuration".split())  # noqa: SIM905
"""What a place has: "normal in size"."""
VAIN: Final = STRICT | frozenset(
    """
    mild moderate severe large small minimal slight marked low high extensive tiny gross partial
    mild-to-moderate old standard expected degenerative
    """.split()  # noqa: SIM905
)
"""Adjectives that say nothing where there is nothing that they describe."""
DEGREES: Final = frozenset(
    """
    mildly moderately severely markedly grossly slightly minimally well sharply poorly partially
    diffusely significantly somewhat fully massively abnormally newly incompletely relatively
    chronically partly completely densely asymmetrically
    """.split()  # noqa: SIM905
)
SILENT: Final = frozenset(
    "xxxx definite obvious convincing appearing apparent diameter radiographic "  # noqa: SIM905
    "radiographically".split()
)
MEASURES: Final = frozenset("mm cm millimeter millimeters centimeter centimeters".split())  # noqa: SIM905
SUFFIXES: Final = (
    *("itis", "osis", "oma", "omas", "omata", "ectasis", "ectasia", "omegaly", "pathy", "plasia"),
    *("thorax", "thoraces", "penia", "sclerosis", "malacia", "lithiasis", "ectomy", "plasty"),
)
"""What a word of seven letters or more ends in that is a finding, known or not."""

COMPOUNDS: Final[Mapping[tuple[str, ...], Part]] = {
    ("within", "normal", "limits"): Part.QUALITY,
    ("within", "limits", "of", "normal"): Part.QUALITY,
    ("upper", "limits", "of", "normal"): Part.QUALITY,
    ("upper", "limits", "normal"): Part.QUALITY,
    ("top", "normal"): Part.QUALITY,
    ("left", "sided"): Part.SIDE,
    ("right", "sided"): Part.SIDE,
    ("small", "bowel"): Part.PLACE,
    ("soft", "tissue"): Part.PLACE,
    ("soft", "tissues"): Part.PLACE,
    ("air", "space"): Part.QUALITY,
    ("ground", "glass"): Part.QUALITY,
    ("age", "indeterminate"): Part.QUALITY,
    ("well", "circumscribed"): Part.QUALITY,
    ("foreign", "body"): Part.FINDING,
    ("foreign", "bodies"): Part.FINDING,
    ("mass", "effect"): Part.FINDING,
    ("port", "a", "cath"): Part.FINDING,
}
"""Words that are one entity."""

_LEVEL: Final = re.compile(r"[tl]\d{1,2}(-[tl]?\d{1,2})?")
"""A vertebra: "t12", "l1-l2"."""

_PARTS: Final[Mapping[str, Part]] = {
    word: part
    for part, words in (
        (Part.PLACE, PLACES),
        (Part.REGION, REGIONS),
        (Part.SIDE, SIDES | ALONE),
        (Part.QUALITY, QUALITIES),
        (Part.DEGREE, DEGREES),
        (Part.SILENT, SILENT),
        (Part.MEASURE, MEASURES),
        (Part.FINDING, FINDINGS),
    )
    for word in words
}


@cache
def part_of(word: str) -> Part | None:
    """Return the part that a word in lower case plays by itself."""
    if word in _PARTS:
        return _PARTS[word]
    if _LEVEL.fullmatch(word):
        return Part.PLACE
    if len(word) >= 7 and word.endswith(SUFFIXES):
        return Part.FINDING
    # what a rule of cleaning made of "scarring/atelectasis"
    halves = ((word[:i], word[i:]) for i in range(4, len(word) - 3))
    for one, two in halves:
        for part, words in ((Part.FINDING, FINDINGS), (Part.QUALITY, QUALITIES)):
            if one in words and two in words:
                return part
    return None
