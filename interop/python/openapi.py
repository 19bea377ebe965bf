"""Lints GET /openapi.json and has schemathesis send requests that are generated from it.

Told by its environment: URL of the router, KEY, SEED, EXAMPLES for each operation, REPORT (a folder).
Prints {"problems": [...], "failures": [...], "status": n}.
"""

import json
import os
import pathlib
import subprocess
import sys
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator

url, report = os.environ["URL"], pathlib.Path(os.environ["REPORT"])
with urllib.request.urlopen(url + "/openapi.json") as answer:
    document = json.load(answer)

problems = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in OpenAPIV31SpecValidator(document).iter_errors()]

run = subprocess.run(
    [
        str(pathlib.Path(sys.executable).parent / "st"),
        "--config-file", "schemathesis.toml",
        "run", url + "/openapi.json",
        "--url", url,
        "--header", "Authorization: Bearer " + os.environ["KEY"],
        "--seed", os.environ["SEED"],
        "--max-examples", os.environ["EXAMPLES"],
        "--report", "json",
        "--report-dir", str(report),
        "--report-json-path", str(report / "schemathesis.json"),
        "--no-color",
    ],
    capture_output=True,
    text=True,
    timeout=int(os.environ.get("WITHIN", "270")),
)
(report / "schemathesis.txt").write_text(run.stdout + run.stderr)
at = run.stdout.find("= FAILURES")
print(json.dumps({"problems": problems, "status": run.returncode, "says": run.stdout[at if at >= 0 else -6000:][:30000] + run.stderr[-4000:]}))
