"""What is said of regions where nothing is found."""

from .wording import Normal

LUNG = frozenset(
    {"Lung Lesion", "Lung Opacity", "Edema", "Consolidation", "Pneumonia", "Atelectasis"}
)
AIRLESS = frozenset({"Lung Opacity", "Consolidation", "Pneumonia", "Atelectasis"})
PLEURAL = frozenset({"Pleural Effusion", "Pneumothorax"})
MIDLINE = frozenset({"Cardiomegaly", "Enlarged Cardiomediastinum"})


def _denial(observation: str, phrases: tuple[str, ...], chance: float) -> Normal:
    only = frozenset({observation})
    return Normal(phrases, chance, without=only, denies=only)


HEART_NORMAL: tuple[Normal, ...] = (
    Normal(
        (
            "the cardiomediastinal/>a silhouette/a is normal/o+@a",
            "heart/a size/>a and mediastinal/>a2 contours/a2 are within_normal_limits/o+@a@a2",
            "the heart/a and mediastinum/a2 are unremarkable/o+@a@a2",
            "normal/o+@a@a2 cardiac/a and mediastinal/>a2 contours/a2",
        ),
        chance=0.6,
        without=MIDLINE,
        denies=MIDLINE,
    ),
    _denial(
        "Cardiomegaly",
        (
            "the heart/a is normal/o+@a in size/>a",
            "heart/a size/>a is within_normal_limits/o+@a",
            "normal/o+@a heart/a size/>a",
            "the cardiac/>a silhouette/a is not enlarged/o@a",
        ),
        chance=0.8,
    ),
    _denial(
        "Enlarged Cardiomediastinum",
        (
            "the mediastinum/a is unremarkable/o+@a",
            "mediastinal/>a contours/a are normal/o+@a",
            "the mediastinum/a is not widened/o@a",
            "the aortic/>a arch/a and mediastinum/a2 are normal/o+@a@a2",
        ),
        chance=0.15,
    ),
    Normal(
        (
            "the trachea/a is midline/o+@a",
            "trachea/a and carina/a2 are central/o+@a@a2",
        ),
        chance=0.06,
        without=PLEURAL | MIDLINE,
    ),
    Normal(
        (
            "the aortic/>a knob/a is well/>o defined/o+@a",
            "aortic/>a arch/a and descending/>a2 aorta/a2 have smooth/o+@a@a2 borders",
        ),
        chance=0.04,
        without=AIRLESS | {"Enlarged Cardiomediastinum"},
    ),
)

LUNGS_NORMAL: tuple[Normal, ...] = (
    Normal(
        (
            "the lungs/a are clear/o+@a",
            "both/>a lungs/a are clear/o+@a",
            "no focal/>o airspace/>o disease/o",
            "the lungs/a are free of airspace/>o opacities/o@a",
        ),
        chance=1.0,
        without=LUNG,
        denies=frozenset({"Lung Opacity"}),
    ),
    Normal(
        (
            "the lungs/a are otherwise clear/o+@a",
            "the remaining/>a lungs/a are clear/o+@a",
            "remainder of the lungs/a is well/>o aerated/o+@a",
        ),
        chance=0.15,
        without=frozenset({"Edema"}),
        beside=LUNG,
    ),
    Normal(
        (
            "no focal/>o consolidation/o",
            "there is no consolidation/o",
            "no evidence of consolidation/o@a in either/>a lung/a",
            "no areas of confluent/>o consolidation/o are identified",
        ),
        chance=0.25,
        without=AIRLESS,
        denies=frozenset({"Consolidation"}),
    ),
    _denial(
        "Edema",
        (
            "no pulmonary/a edema/o@a",
            "pulmonary/>a vascularity/a is normal/o+@a",
            "the pulmonary/>a vasculature/a is unremarkable/o+@a",
            "no vascular/a congestion/o@a or edema/o2",
        ),
        chance=0.15,
    ),
    _denial(
        "Lung Lesion",
        (
            "no suspicious/>o pulmonary/a nodules/o@a",
            "no nodule/o or mass/o2",
            "no discrete/>o pulmonary/a lesion/o@a is identified",
        ),
        chance=0.06,
    ),
    Normal(
        (
            "no evidence of pneumonia/o",
            "no radiographic signs of pneumonia/o",
        ),
        chance=0.06,
        without=AIRLESS,
        denies=frozenset({"Pneumonia"}),
    ),
    Normal(
        (
            "the hila/a are symmetric/o+@a",
            "hilar/>a structures/a have a regular/>o appearance/o+@a",
        ),
        chance=0.05,
        without=LUNG | MIDLINE,
    ),
)

PLEURA_NORMAL: tuple[Normal, ...] = (
    Normal(
        (
            "the costophrenic/>a angles/a are sharp/o+@a",
            "both/>a hemidiaphragms/a are sharply/>o defined/o+@a",
        ),
        chance=0.08,
        without=AIRLESS | PLEURAL,
        denies=frozenset({"Pleural Effusion"}),
    ),
    Normal(
        (
            "no pleural/a effusion/o@a or pneumothorax/o2",
            "there is no pneumothorax/o or pleural/a effusion/o2@a",
            "no pneumothorax/o or effusion/o2 is seen",
            "no evidence of effusion/o or pneumothorax/o2",
        ),
        chance=0.9,
        without=PLEURAL,
        denies=PLEURAL,
    ),
    _denial(
        "Pneumothorax",
        (
            "no pneumothorax/o",
            "there is no pneumothorax/o",
            "no pneumothorax/o is identified",
            "negative for pneumothorax/o",
        ),
        chance=0.7,
    ),
    _denial(
        "Pleural Effusion",
        (
            "no pleural/a effusion/o@a",
            "there is no pleural/a effusion/o@a",
            "no pleural/a fluid/o@a is seen",
            "no fluid/o@a in the pleural/>a space/a",
        ),
        chance=0.7,
    ),
    Normal(
        (
            "the cardiophrenic/>a angles/a are preserved/o+@a",
            "the domes/>a of the diaphragm/a are smooth/o+@a",
        ),
        chance=0.04,
        without=LUNG | PLEURAL | MIDLINE,
    ),
)

BONES_NORMAL: tuple[Normal, ...] = (
    _denial(
        "Fracture",
        (
            "the osseous/>a structures/a are intact/o+@a",
            "no acute/>o bony/a abnormality/o@a",
            "the visualized/>a bones/a are unremarkable/o+@a",
            "no displaced/>o rib/a fracture/o@a",
            "the ribs/a clavicles/a2 and thoracic/>a3 spine/a3 are intact/o+@a@a2@a3",
        ),
        chance=0.25,
    ),
)
