"""``python -m radii``: the command line."""

from radii.service.cli.main import main

main()
