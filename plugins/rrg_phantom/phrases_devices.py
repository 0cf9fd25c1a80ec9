"""Wordings of what has been put into the patient; tips lie where they are drawn."""

from .wording import Wording

UNSIDED = frozenset({"endotracheal tube", "enteric tube", "sternal wires"})
"""The devices in the midline, which have no side."""

DEVICES: tuple[Wording, ...] = (
    Wording(
        "Support Devices",
        kind="pacemaker",
        present=(
            "a {sided} pacemaker/o@a is in place",
            "{side} chest/>a wall/a pacemaker/o@a",
            "a pacemaker/>o generator/o@a overlies the {side} chest/a",
            "a {sided} dual-lead/>o cardiac/>o pacing/>o device/o@a@a2@a3 ends in the right/>a2 "
            "atrium/a2 and ventricle/a3",
        ),
    ),
    Wording(
        "Support Devices",
        kind="central venous catheter",
        present=(
            "a {sided} central/>o venous/>o catheter/o@a@a2 terminates in the svc/a2",
            "{sided} central/>o venous/>o catheter/o@a is in place",
            "the tip/o2@a2>o of a {sided} central/>o line/o@a projects over the cavoatrial/>a2 "
            "junction/a2",
            "a {sided} central/>o catheter/o@a@a2 ends in the superior/>a2 vena/>a2 cava/a2",
        ),
    ),
    Wording(
        "Support Devices",
        kind="endotracheal tube",
        present=(
            "an endotracheal/>o tube/o@a terminates above the carina/a",
            "endotracheal/>o tube/o in standard/>o2 position/o2>o",
            "the endotracheal/>o tube/o tip/o2@a>o projects over the trachea/a",
            "the patient is intubated/o with the tube/o2 tip/o3@a>o2 in the trachea/a",
        ),
    ),
    Wording(
        "Support Devices",
        kind="enteric tube",
        present=(
            "an enteric/>o tube/o@a courses below the diaphragm/a",
            "enteric/>o tube/o tip/o2@a>o in the stomach/a",
            "a nasogastric/>o tube/o@a extends into the left/>a upper/>a abdomen/a",
            "a feeding/>o tube/o@a@a2 passes through the esophagus/a into the stomach/a2",
        ),
    ),
    Wording(
        "Support Devices",
        kind="sternal wires",
        present=(
            "median/>a sternotomy/a wires/o@a are present",
            "sternal/a wires/o@a are noted",
            "midline/>a sternotomy/a wires/o@a are aligned/o2>o",
            "cerclage/>o wires/o@a overlie the sternum/a",
        ),
    ),
    Wording(
        "Support Devices",
        kind="chest tube",
        present=(
            "a {sided} chest/>o tube/o@a is in place",
            "{side} chest/a tube/o@a",
            "a {sided} thoracostomy/>o tube/o@a@a2 is directed towards the apex/a2",
            "a {side} pleural/a drain/o@a is present",
        ),
    ),
)
