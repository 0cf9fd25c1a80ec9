"""Where the 34 landmarks and the findings lie in a frontal phantom, exactly."""

import numpy as np

from rrgcore.chest import LANDMARKS

from . import anatomy
from .anatomy import ARCH, ATRIUM, CARINA, HEART_TOP, ZONE_LEVELS, Box, to_picture
from .case import Finding
from .findings import plan
from .findings_heart import heart_ratio, mediastinum_widening
from .patient import Patient

SIDES = {"right": -1, "left": 1}


def landmark_boxes(patient: Patient, findings: tuple[Finding, ...] = ()) -> dict[str, Box]:
    """x1 y1 x2 y2 of every landmark, in fractions of the picture and inside it.

    A large heart and a wide mediastinum have larger boxes, so their findings may be given too.
    """
    boxes = {}
    for name, side in SIDES.items():
        boxes |= {f"{name} {part}": box for part, box in _side_boxes(patient, side).items()}
    boxes |= _middle_boxes(patient, findings)
    return {name: _inside(boxes[name]) for name in LANDMARKS}


def finding_boxes(patient: Patient, findings: tuple[Finding, ...]) -> tuple[tuple[Box, ...], ...]:
    """For each finding the boxes in which it changes the picture; nothing changes outside them."""
    return tuple(tuple(_inside(p.box) for p in plan(patient, finding)) for finding in findings)


def _inside(box: Box) -> Box:
    x1, y1, x2, y2 = (min(max(float(edge), 0.0), 1.0) for edge in box)
    return x1, y1, x2, y2


def _around(patient: Patient, points: np.ndarray, margin: float = 0.0) -> Box:
    """The box around points (s, y) of the body."""
    at = to_picture(patient, points)
    (x1, y1), (x2, y2) = at.min(axis=0) - margin, at.max(axis=0) + margin
    return x1, y1, x2, y2


def _rows(patient: Patient, s1: np.ndarray, s2: np.ndarray, y: np.ndarray) -> Box:
    """The box around a shape that reaches from s1 to s2 at every height y."""
    return _around(patient, np.concatenate([np.stack([s1, y], 1), np.stack([s2, y], 1)]))


def _side_boxes(patient: Patient, side: int) -> dict[str, Box]:
    width = patient.width(side)
    a = np.linspace(0.0, 1.0, 101)
    floor = anatomy.diaphragm(patient, side, a)
    corner = float(anatomy.diaphragm(patient, side, np.array([0.985]))[0])

    def lung(top: float, bottom: float) -> Box:
        y = np.linspace(top, bottom, 40)
        inner, outer = anatomy.free_lung(patient, side, y)
        return _rows(patient, side * inner, side * outer, y)

    levels = {zone: tuple(patient.level(t) for t in span) for zone, span in ZONE_LEVELS.items()}
    hilum_s, hilum_y = anatomy.hilum(patient, side)
    heart = anatomy.heart_edges(patient, np.array([floor[30]]), patient.heart_ratio)[side > 0]
    inner = side * float(heart[0])
    dome = float(floor.min())
    shaft = anatomy.clavicle(patient, side)
    return {
        "lung": lung(patient.apex, corner),
        "apical zone": lung(*levels["apical"]),
        "upper lung zone": lung(*levels["upper"]),
        "mid lung zone": lung(*levels["mid"]),
        "lower lung zone": lung(levels["lower"][0], corner),
        "hilar structures": _around(
            patient,
            np.array([(hilum_s - 0.058, hilum_y - 0.075), (hilum_s + 0.058, hilum_y + 0.085)]),
        ),
        "costophrenic angle": _around(
            patient,
            np.array(
                [(side * (width - 0.07), corner - 0.085), (side * (width + 0.012), corner + 0.015)]
            ),
        ),
        "cardiophrenic angle": _around(
            patient,
            np.array(
                [(side * (inner - 0.03), dome - 0.055), (side * (inner + 0.07), dome + 0.045)]
            ),
        ),
        "hemidiaphragm": _around(
            patient, np.stack([side * a[12:] * width, floor[12:]], axis=1), margin=0.006
        ),
        "clavicle": _around(patient, shaft, margin=anatomy.CLAVICLE_HALF),
    }


def _middle_boxes(patient: Patient, findings: tuple[Finding, ...]) -> dict[str, Box]:
    ratio = heart_ratio(patient, findings)
    widen = mediastinum_widening(patient, findings)
    level = patient.level
    floor_right = float(anatomy.diaphragm(patient, -1, np.array([0.25]))[0])
    floor_left = float(anatomy.diaphragm(patient, 1, np.array([0.55]))[0])
    floor = max(floor_right, floor_left)

    def great(top: float, bottom: float) -> Box:
        y = np.linspace(level(top), level(bottom), 40)
        return _rows(patient, *anatomy.mediastinum_edges(patient, y, widen), y)

    def heart(top: float, bottom: float) -> Box:
        y = np.linspace(level(top), bottom, 40)[1:]
        return _rows(patient, *anatomy.heart_edges(patient, y, ratio), y)

    def column(s1: float, s2: float, y1: float, y2: float) -> Box:
        return _around(patient, np.array([(s1, y1), (s2, y1), (s1, y2), (s2, y2)]))

    upper, cardiac = great(-0.02, 0.5), heart(HEART_TOP, floor)
    whole = great(-0.02, 1.0)
    arch_y, turn = level(ARCH), 0.8 * patient.rotation
    edges = anatomy.mediastinum_edges(patient, np.array([arch_y, level(0.6)]), widen)
    atrium_y = np.linspace(level(ATRIUM - 0.1), floor_right, 20)
    atrium = anatomy.heart_edges(patient, atrium_y, ratio)[0]
    carina_y = level(CARINA)
    carina_s = float(anatomy.trachea_center(patient, np.array([carina_y]))[0])
    half = anatomy.TRACHEA_HALF
    right, left = -patient.width_right, patient.width_left
    return {
        "trachea": column(carina_s - half - 0.004, carina_s + half + 0.008, 0.0, carina_y),
        "carina": column(carina_s - 0.035, carina_s + 0.035, carina_y - 0.025, carina_y + 0.03),
        "spine": column(-0.037, 0.037, 0.0, 1.0),
        "aortic arch": column(turn + 0.01, float(edges[1][0]), arch_y - 0.055, arch_y + 0.05),
        "descending aorta": column(turn - 0.005, turn + 0.062, arch_y, floor),
        "svc": column(float(edges[0][0]), turn - 0.018, level(0.2), level(0.52)),
        "cavoatrial junction": column(
            float(edges[0][1]) - 0.025, turn - 0.01, level(0.52), level(0.66)
        ),
        "right atrium": _rows(patient, atrium, np.full_like(atrium, turn - 0.02), atrium_y),
        "mediastinum": (
            min(whole[0], cardiac[0]),
            whole[1],
            max(whole[2], cardiac[2]),
            max(whole[3], cardiac[3]),
        ),
        "upper mediastinum": upper,
        "cardiac silhouette": cardiac,
        "abdomen": column(right, left, min(patient.dome_right, patient.dome_left), 1.0),
        "right upper abdomen": column(right, 0.0, patient.dome_right, 1.0),
        "left upper abdomen": column(0.0, left, patient.dome_left, 1.0),
    }
