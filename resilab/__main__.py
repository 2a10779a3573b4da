"""The command: `python -m resilab lint FILE` and `python -m resilab convert FILE --to KIND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import configs
from .experiments import SLO


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 if all is well, 1 if `lint` has found errors or warnings, 2 if a file cannot be
        read or written.
    """
    parser = argparse.ArgumentParser(prog="python -m resilab", description="Check and convert configurations.")
    commands = parser.add_subparsers(dest="command", required=True)
    lint = commands.add_parser("lint", help="find values that are wrong together")
    convert = commands.add_parser("convert", help="write the configuration of another library")
    for command in (lint, convert):
        command.add_argument("file", help="a configuration; what it is is told from it")
        command.add_argument("--kind", choices=configs.KINDS, help="what it is, if that cannot be told")
        command.add_argument("--name", help="which instance, cluster, method or service")
    lint.add_argument("--rate", type=float, help="calls per second")
    lint.add_argument("--within", type=float, help="seconds that a caller waits")
    convert.add_argument("--to", choices=(*configs.KINDS, *configs.SNIPPETS), required=True, help="the library")
    options = parser.parse_args(arguments)
    try:
        config = configs.read(options.file, options.kind, options.name)
        if options.command == "lint":
            slo = None if options.within is None else SLO(within=options.within)
            found = configs.lint(config, slo=slo, rate=options.rate)
            print(repr(found))
            return int(any(finding.severity != "hint" for finding in found))
        ejection = config.ejection if options.to in ("envoy", "istio") else None
        written = configs.write(config.pod or config.policy, options.to, config.name, ejection=ejection)
    except (ValueError, TypeError, OSError) as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        return 2
    print(written.text)
    if config.ejection is not None and ejection is None:
        print(f"dropped: ejection = {config.ejection}: {options.to} turns no replicas away", file=sys.stderr)
    for row in written.rows:
        if row.line is None:
            print(f"{row.status}: {row.key} = {row.value}: {row.meaning}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
