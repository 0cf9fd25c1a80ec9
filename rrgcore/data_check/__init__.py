"""What is in a data set, and what is wrong with it (`rrg data check`); imports no torch."""

from rrgcore.data_check.check import DataCheck, check_data
from rrgcore.data_check.checked import Checked
from rrgcore.data_check.findings import Finding
from rrgcore.data_check.texts import Reading

__all__ = ["Checked", "DataCheck", "Finding", "Reading", "check_data"]
