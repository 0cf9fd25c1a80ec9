"""Wordings of the heart, the mediastinum and the bones, with adjectives true of the drawing."""

from .wording import DEGREE, Wording

HEART: tuple[Wording, ...] = (
    Wording(
        "Cardiomegaly",
        severity=DEGREE,
        present=(
            "the heart/a is {severely} enlarged/o@a",
            "{severity} cardiomegaly/o",
            "the cardiac/>a silhouette/a is {severely} enlarged/o@a",
            "there is {severity} enlargement/o@a of the heart/a",
            "heart/a size/>a is {severely} increased/o@a",
        ),
        uncertain=(
            "the heart/a may be {severely} enlarged/o@a",
            "possible {severity} cardiomegaly/o",
            "{severity} enlargement/o@a of the cardiac/>a silhouette/a is suspected",
            "{severity} cardiomegaly/o cannot be excluded",
        ),
    ),
    Wording(
        "Enlarged Cardiomediastinum",
        severity=DEGREE,
        present=(
            "the mediastinum/a is {severely} widened/o@a",
            "there is {severity} widening/o@a of the upper/>a mediastinum/a",
            "{severity} mediastinal/a widening/o@a",
            "the superior/>a mediastinal/>a contour/a is {severely} broadened/o@a",
        ),
        uncertain=(
            "the mediastinum/a may be {severely} widened/o@a",
            "possible {severity} widening/o@a of the upper/>a mediastinum/a",
            "{severity} mediastinal/a widening/o@a cannot be excluded",
            "questionable {severity} broadening/o@a of the mediastinal/>a contour/a",
        ),
    ),
)

BONES: tuple[Wording, ...] = (
    Wording(
        "Fracture",
        kind="rib",
        present=(
            "there are {side} rib/a fractures/o@a",
            "{side} rib/a fractures/o@a",
            "displaced/>o fractures/o@a of two adjacent/>a {side} ribs/a are noted",
            "{side} lateral/>a rib/a fractures/o@a with callus/>o2 formation/o2@a",
        ),
        uncertain=(
            "possible {side} rib/a fractures/o@a",
            "{side} rib/a fractures/o@a cannot be excluded",
            "cortical/>o2 irregularity/o2+@a~o of {side} lateral/>a ribs/a could represent "
            "fractures/o@a",
            "there may be fractures/o@a of two adjacent/>a {side} ribs/a",
        ),
    ),
    Wording(
        "Fracture",
        kind="clavicle",
        present=(
            "there is a fracture/o@a of the {side} clavicle/a",
            "{side} clavicle/a fracture/o@a",
            "the {side} clavicle/a is fractured/o@a with overlapping/>o2 fragments/o2@a",
            "a displaced/>o midshaft/>a {side} clavicular/a fracture/o@a is present",
        ),
        uncertain=(
            "possible fracture/o@a of the {side} clavicle/a",
            "a {side} clavicle/a fracture/o@a cannot be excluded",
            "cortical/>o2 irregularity/o2+@a~o of the {side} clavicle/a could represent a "
            "fracture/o@a",
            "the {side} clavicle/a may be fractured/o@a",
        ),
    ),
)
