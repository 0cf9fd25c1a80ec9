"""Phrases of other findings: they veto No Finding, or look like an observation and are none."""

from collections.abc import Mapping
from typing import Final

_ANGLE: Final = "(costophrenic|cp|costo_phrenic)"
_BONE: Final = (
    "(bone|bony|osseous|rib|ribs|spine|spinal|vertebra*|clavicle|humer*|scapula*|sternum|sternal)"
)

ABNORMAL: Final = "another abnormality"
NOTHING: Final = "nothing"

PHRASES: Final[Mapping[str, tuple[str, ...]]] = {
    ABNORMAL: (
        "(breast|thyroid|brain|colon|renal|prostate) (carcinoma|cancer|tumor|mass|neoplasm)",
        f"(blunt*|obscur*) ~4 {_ANGLE}",
        f"{_ANGLE} ~5 blunt*",
        "(granulomatous|tuberculous|tuberculosis|histoplasmosis) ~1 infection*",
        "(granuloma*|granulomat*)",
        "(calcified|calcific|granulomatous|dense) ~2 (density|densities)",
        "(calcification*|calcified|calcific|calcinosis)",
        "(emphysema*|copd|bulla*|bullous|bleb*)",
        "obstructive ~2 (disease|lung)",
        "(hyperinflat*|hyperexpan*|hyperaerat*|hyperlucen*|hyperdisten*)",
        "(scar|scars|scarring|fibrosis|fibrotic|fibronodular)",
        "(scolio*|dextroscolio*|levoscolio*|kypho*|dextrocurv*|levocurv*|curvature)",
        "(degenerative|spondylo*|osteophyt*|spurring|spurs|arthritis|arthritic|osteoarthr*)",
        "(osteopeni*|osteoporo*|demineraliz*)",
        "(deformity|deformities)",
        "(tortuous|tortuosity|ectatic|ectasia|unfold*|atheroscler*|aneurysm*)",
        "(hernia|hernias|hiatus)",
        "(eventration|elevated|elevation) ~4 (hemidiaphragm*|diaphragm*)",
        "(hemidiaphragm*|diaphragm*) ~3 (eventration|elevated|elevation)",
        "(white_out|whiteout)",
        "volume loss",
        "loss of ~2 volume*",
        "(mediastinal|cardiomediastinal|midline|tracheal) (shift*|deviation|displacement)",
        "(shift*|deviation|displacement) of ~3 (mediastin*|cardiomediastin*|heart|midline|trachea)",
        "(mediastinum|heart|trachea) ~3 (shifted|deviated|displaced)",
        "globular",
        "(low|decreased|reduced|diminished) ~1 (lung|volume*)",
        "lung volumes ~2 (low|decreased|reduced|diminished)",
        "(hypoinflat*|hypoventilat*)",
        "(interstitial|bronchovascular|lung|perihilar) ~1 (markings|prominence|thickening|"
        "crowding)",
        "(pericardial|joint|glenohumeral) ~1 effusion*",
        "(adenopathy|lymphadenopathy)",
        f"{_BONE} ~2 (lesion*|opacit*|density|densities|metasta*|mass*)",
        "(sclerotic|lytic|blastic) ~2 (lesion*|opacit*|density|densities|metasta*)",
        "(breast|chest_wall|soft_tissue|axillary|abdominal|neck) ~1 (mass|masses|density|"
        "densities)",
        "(subcutaneous|soft_tissue|chest_wall) (emphysema|edema|air)",
        "(thickened|enlarged|dilated) (pulmonary|aorta|aortic)",
        "(pneumoperitoneum|pneumomediastinum|pneumopericardium)",
        "free (intraperitoneal|peritoneal|intraabdominal|abdominal|subdiaphragmatic)? air",
        "(bronchiectasis|bronchiectatic|bronchitis|sarcoidosis|tuberculo*|tb)",
        "(clip|clips|suture*|hardware|prosthe*|arthroplasty)",
        "(cardiomyopathy|hypertension)",
        "(lucency|lucencies|lucent)",
        "(foreign_body|foreign_bodies|piercing|piercings)",
        "(mastectomy|lobectomy|pneumonectomy)",
        "(dislocat*|sublux*|separation)",
        "(endplate|end_plate) ~1 changes",
    ),
    NOTHING: (
        "airspace (is|are)",
        "(stomach|bowel) (mass|masses)",
        "line of",
        "(retrosternal|substernal) ~1 (airspace|air_space)",
        "body mass",
        "(pleural|thoracic|chest|peritoneal|abdominal|oral) (cavity|cavities)",
        "mass effect",
        "(vertebra*|bony|bone) ~3 collapse*",
        "collapse* ~3 vertebra*",
        "engorgement (is|are|appear|appears) ~1 within",
        "nodular (contour*|soft_tissue|thickening|scarring)",
    ),
}
