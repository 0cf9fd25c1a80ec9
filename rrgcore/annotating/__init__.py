"""An annotator over a data set: files of annotations beside the data, and what was learned."""

from rrgcore.annotating.making import annotate_dataset
from rrgcore.annotating.order import Annotated, AnnotationOrder, sidecar_path
from rrgcore.annotating.work import work_folder

__all__ = [
    "Annotated",
    "AnnotationOrder",
    "annotate_dataset",
    "sidecar_path",
    "work_folder",
]
