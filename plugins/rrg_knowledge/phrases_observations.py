"""Phrases that name an observation of the lungs, pleura, bones or a device."""

from collections.abc import Mapping
from typing import Final

_AIR: Final = "(airspace|air_space|alveolar|airways)"

PHRASES: Final[Mapping[str, tuple[str, ...]]] = {
    "Enlarged Cardiomediastinum": (
        "mediastinal (widening|enlargement|prominence|fullness|widened)",
        "widened mediastinal",
        "fullness of the mediastinum",
    ),
    "Cardiomegaly": ("cardiomeg*", "(cardiac|heart) enlargement"),
    "Lung Lesion": (
        "nodul*",
        "(mass|masses)",
        "(lesion|lesions)",
        "(tumor|tumors|tumour|tumours|neoplas*|malignan*|carcinoma*|cancer|cancers|lymphoma)",
        "metasta* ~1 (nodul*|lesion*|disease|mass*)?",
        "(cavitary|cavitating|mass) (lesion*|mass*|nodul*)",
        "(aspergilloma|mycetoma|abscess)",
        "coin lesion*",
        "(cavity|cavities|cavitary|cavitation*|cavitated|cavitating)",
    ),
    "Lung Lesion + Lung Opacity": (
        "(nodular|round|rounded|ovoid|oval|masslike|mass_like) (opacit*|density|densities)",
    ),
    "Lung Opacity": (
        "(opacit*|opacification*|opacified)",
        f"{_AIR} (disease|diseases|process|processes|filling|changes)",
        f"{_AIR} ~1 (opacit*|opacification|densit*)",
        "(airspace|air_space)",
        "infiltrat*",
        "(haziness|hazy|haze)",
        "ground glass",
        "(streaky|patchy|linear|vague|ill_defined|increased|confluent|strandy) (density|densities)",
        "(lung|lobe|pulmonary|parenchymal|basilar|hilar|perihilar|suprahilar|infrahilar|midlung|"
        "retrocardiac|lingular) (density|densities)",
        "(density|densities) ~3 (lung|lungs|base|bases|midlung|hilum|perihilar|lobe)",
    ),
    "Consolidation": (f"{_AIR} consolid*", "consolid*"),
    "Lung Opacity + Consolidation": ("consolidative ~2 opacit*",),
    "Edema": (
        "(edema|oedema|edematous)",
        "congestive? (heart|cardiac|ventricular) failure",
        "(early|mild|overt|frank|congestive) failure",
        "chf",
        "(cardiac|heart) decompensation",
        "(pulmonary|central)? (vascular|venous|pulmonary|central|hilar) congestion",
        "(congestive|congestion) (change|changes)",
        "congestion",
        "(volume|fluid) overload",
        "kerley",
        "(engorged|engorgement|congested)",
        "vascul* ~2 (prominence|prominent|increased)",
        "(prominent|prominence) ~4 vascul*",
        "pulmonary venous hypertension",
        "(cephalization|cephalisation)",
        "vascular redistribution",
    ),
    "Pneumonia": (
        "(pneumonia*|bronchopneumonia*|pneumonitis|pna)",
        "(infection*|infectious)",
        "aspiration",
    ),
    "Atelectasis": (
        "(atelect*|subatelect*)",
        "(collapse|collapsed)",
    ),
    "Pneumothorax": (
        "(pneumoth*|ptx)",
        "pleural air",
        "pleural line",
    ),
    "Pneumothorax + Pleural Effusion": ("(hydropneumoth*|hemopneumoth*|haemopneumoth*)",),
    "Pleural Effusion": (
        "effus*",
        "pleural ~1 (fluid|collection*)",
        "(subpulmonic|interlobar|fissural|layering|loculated) fluid",
        "fluid ~4 (fissure|fissures|pleural) cavity?",
        "(hydrothora*|hemothora*|haemothora*|empyema*)",
    ),
    "Pleural Other": (
        "pleural ~1 (thickening|plaque*|scar*|calcification*|fibrosis|capping|cap|disease|based)",
        "(apical|biapical) (cap|caps|capping)",
        "(thickening|plaque*) ~4 (pleura|pleural)",
        "fibrothorax",
        "(pleuroparenchymal|pleuro_parenchymal|pleural_parenchymal) ~1 scar*?",
    ),
    "Fracture": ("(fracture*|fx|fxs)",),
    "Support Devices": (
        "(catheter*|picc|port|portacath|mediport|chemoport|infusaport|permacath|hickman)",
        "port a (cath|xxxx)",
        "xxxx a xxxx",
        "(tube|tubes|tubing|tracheostomy|endotracheal|nasogastric|ett)",
        "(endotracheal|nasogastric|et|ng|chest|feeding|tracheostomy) (tube|tubes)",
        "(pacemaker*|pacer|aicd|icd|defibrillator*|generator|pacing|electrode*)",
        "(line|lines) ~3 (tip|terminat*)",
        "(central|picc|venous|subclavian|jugular|ij|dialysis|arterial|support) (line|lines)",
        "(swan_ganz|iabp|lvad|ivc_filter|balloon_pump)",
        "(stent|stents|stented)",
        "(valve|valves|valvular) (replacement*|prosthes*|artifact|repair)",
        "(prosthetic|mechanical|artificial|bioprosthetic) ~1 (valve|valves)",
        "(device|devices|recorder)",
        "(stimulator|neurostimulator|shunt|drain|drains|pump)",
        "lines and tubes",
        "(monitor|monitoring|telemetry|ecg|ekg|overlying|external|pacer|dual|cardiac) leads",
        "tip ~6 (svc|atrium|atrial|cavoatrial|caval|cava)",
        "internal fixation",
    ),
}
"""Keys of several observations, parted by " + ", mention each of them."""
