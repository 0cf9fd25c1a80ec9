"""From a finding to the places where it is drawn."""

from collections.abc import Callable
from zlib import crc32

import numpy as np

from . import findings_bone, findings_devices, findings_heart, findings_lung, findings_pleura
from .case import Finding
from .marks import Patch
from .patient import Patient

Drawer = Callable[[Patient, Finding, np.random.Generator], tuple[Patch, ...]]

DRAWERS: dict[str, Drawer] = {
    "Enlarged Cardiomediastinum": findings_heart.wide_mediastinum,
    "Cardiomegaly": findings_heart.large_heart,
    "Lung Lesion": findings_lung.lesion,
    "Lung Opacity": findings_lung.opacity,
    "Edema": findings_lung.edema,
    "Consolidation": findings_lung.consolidation,
    "Pneumonia": findings_lung.pneumonia,
    "Atelectasis": findings_lung.atelectasis,
    "Pneumothorax": findings_pleura.pneumothorax,
    "Pleural Effusion": findings_pleura.effusion,
    "Pleural Other": findings_pleura.other,
    "Fracture": findings_bone.fracture,
    "Support Devices": findings_devices.device,
}


def plan(patient: Patient, finding: Finding) -> tuple[Patch, ...]:
    """Where and how a finding is drawn, in one place of a patient whatever else there is."""
    name = f"{finding.observation}|{finding.side}|{finding.zone}|{finding.kind}"
    rng = np.random.default_rng([patient.seed, crc32(name.encode())])
    return DRAWERS[finding.observation](patient, finding, rng)
