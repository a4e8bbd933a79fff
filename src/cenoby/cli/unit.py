"""`cenoby unit`: the service file for systemd."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from cenoby.cli.options import Json
from cenoby.cli.output import print_json, print_line

_NAME = "cenoby.service"
_SHIPPED_PROGRAM = "/opt/cenoby/bin/cenoby"


def unit(*, json: Json = False) -> None:
    """Print a hardened systemd service file that starts this very program; redirect it to /etc/systemd/system."""
    program = Path(sys.executable).with_name("cenoby")
    text = (files("cenoby.app") / _NAME).read_text().replace(_SHIPPED_PROGRAM, str(program))
    if json:
        print_json({"name": _NAME, "program": str(program), "unit": text})
    else:
        print_line(text.rstrip("\n"))
    if program.parts[1:2] in (("home",), ("root",)):
        # On standard error, because what is printed goes into a file.
        sys.stderr.write(f"cenoby: {program} lies in a home directory, which services do not see; install in /opt.\n")
