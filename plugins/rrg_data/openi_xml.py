"""Open-i's report files: one XML document a study (Demner-Fushman et al., 2016)."""

from dataclasses import dataclass
from typing import final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

LARGEST_REPORT = 1 << 20
"""Bytes; the largest of the real ones has nine thousand."""


@final
@dataclass(frozen=True, slots=True)
class OpeniReport:
    """What a report file says."""

    uid: str
    """The study, and the patient: there is one study of each."""
    sections: dict[str, str]
    """FINDINGS, IMPRESSION, INDICATION, COMPARISON; an empty one is there, as ""."""
    images: tuple[tuple[str, str], ...]
    """Name and caption of each image, in the file's order."""


def parse_report(data: bytes) -> OpeniReport:
    """Read a report file; raises ValueError that says what is wrong with it."""
    root = _parse(data)
    found = root.find("uId")
    uid = "" if found is None else found.get("id", "").strip()
    if not uid:
        raise ValueError(f"is no report of Open-i: <{root.tag}> has no uId that names the study")
    sections: dict[str, str] = {}
    for part in root.iter("AbstractText"):
        label = part.get("Label", "").strip().upper()
        # a second section of the same name goes on where the first ended
        texts = (sections.get(label, ""), "".join(part.itertext()).strip())
        sections[label] = " ".join(text for text in texts if text)
    images = tuple(
        (image.get("id", "").strip(), image.findtext("caption", "").strip())
        for image in root.iter("parentImage")
    )
    return OpeniReport(uid, sections, images)


def _parse(data: bytes) -> Element:
    """Parse a document; one that declares its type is refused before anything is read on.

    Open-i's files do not, and the entities that a type declares can expand without end, or name
    other files.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError) as error:  # LookupError: an encoding that nobody knows
        raise ValueError(f"is not well-formed XML ({error})") from error
    return builder.close()


def _refuse_doctype(*_: object) -> None:
    raise ValueError(
        "declares a document type (DOCTYPE), whose entities may expand without end; "
        "Open-i's reports have none"
    )
