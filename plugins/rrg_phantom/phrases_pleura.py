"""Wordings of what is found in the pleural space, with adjectives true of the drawing."""

from .wording import SIZE, Wording

PLEURA: tuple[Wording, ...] = (
    Wording(
        "Pneumothorax",
        severity=SIZE,
        present=(
            "there is a {severity} {side} apical/a pneumothorax/o@a",
            "{severity} {side} apical/a pneumothorax/o@a",
            "a {severity} pneumothorax/o@a is seen at the {side} apex/a",
            "a visceral/>a2 pleural/a2 line/o2@a@a2~o at the {side} apex/a indicates a {severity} "
            "pneumothorax/o",
            "absent/o2@a2~o peripheral/>a2 vessels/a2 at the {side} apex/a confirm a {severity} "
            "pneumothorax/o@a",
        ),
        uncertain=(
            "possible {severity} {side} apical/a pneumothorax/o@a",
            "a {severity} {side} apical/a pneumothorax/o@a cannot be excluded",
            "a faint/>o2 line/o2+@a~o at the {side} apex/a may represent a {severity} "
            "pneumothorax/o",
            "question of a {severity} pneumothorax/o@a at the {side} apex/a",
        ),
    ),
    Wording(
        "Pleural Effusion",
        severity=SIZE,
        present=(
            "there is a {severity} {side} pleural/a effusion/o@a",
            "{severity} {side} pleural/a effusion/o@a",
            "blunting/o2@a~o of the {side} costophrenic/>a angle/a is due to a {severity} "
            "pleural/a2 effusion/o@a2",
            "a {severity} effusion/o@a obscures the {side} hemidiaphragm/a",
            "{severity} {side} pleural/a effusion/o@a with a meniscus/o2~o",
        ),
        uncertain=(
            "possible {severity} {side} pleural/a effusion/o@a",
            "a {severity} {side} pleural/a effusion/o@a cannot be excluded",
            "blunting/o2+@a~o of the {side} costophrenic/>a angle/a may represent a {severity} "
            "pleural/a2 effusion/o@a2",
            "{severity} {side} pleural/a effusion/o@a is suspected",
        ),
    ),
    Wording(
        "Pleural Effusion",
        bilateral=True,
        severity=SIZE,
        present=(
            "there are {severity} {side} pleural/a effusions/o@a",
            "{severity} {side} pleural/a effusions/o@a",
            "both/>a costophrenic/>a angles/a are blunted/o2@a~o by {severity} pleural/a2 "
            "effusions/o@a2",
            "{severity} effusions/o@a obscure both/>a hemidiaphragms/a",
        ),
        uncertain=(
            "possible {severity} {side} pleural/a effusions/o@a",
            "{severity} {side} pleural/a effusions/o@a cannot be excluded",
            "blunting/o2+@a~o of both/>a costophrenic/>a angles/a may represent {severity} "
            "pleural/a2 effusions/o@a2",
            "{severity} {side} pleural/a effusions/o@a are suspected",
        ),
    ),
    Wording(
        "Pleural Other",
        kind="thickening",
        present=(
            "there is {side} pleural/a thickening/o@a",
            "{side} pleural/a thickening/o@a",
            "thickening/o@a of the {side} lateral/>a pleura/a is noted",
            "irregular/>o pleural/a2 thickening/o@a2@a lines the {side} chest/>a wall/a",
        ),
        uncertain=(
            "possible {side} pleural/a thickening/o@a",
            "{side} pleural/a thickening/o@a is suspected",
            "there may be thickening/o@a of the {side} lateral/>a pleura/a",
            "a peripheral/>o2 band/o2+@a~o along the {side} chest/>a wall/a could represent "
            "pleural/a2 thickening/o@a2",
        ),
    ),
    Wording(
        "Pleural Other",
        kind="plaque",
        present=(
            "there is a {side} pleural/a plaque/o@a",
            "{side} pleural/a plaque/o@a",
            "a calcified/>o plaque/o@a lies along the {side} pleura/a",
            "an irregular/>o calcified/>o pleural/a2 plaque/o@a2@a overlies the {side} "
            "hemithorax/a",
        ),
        uncertain=(
            "possible {side} pleural/a plaque/o@a",
            "a {side} pleural/a plaque/o@a is suspected",
            "there may be a calcified/>o plaque/o@a along the {side} pleura/a",
            "faint/>o2 calcification/o2+@a~o over the {side} hemithorax/a could represent a "
            "pleural/a2 plaque/o@a2",
        ),
    ),
)
