"""`python -m rrgcore` is `rrg`: for `accelerate launch -m rrgcore run RECIPE`."""

from rrgcore.cli import main

main()
