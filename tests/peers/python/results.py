"""Reads Authentication-Results fields from standard input with authres, a parser that the gateway does not use.

Prints a JSON list for each field that begins a line: the name of who says it, then a list for each result, of
method, outcome and properties.
"""

import json
import sys

import authres

fields, field = [], None
for line in sys.stdin.read().replace("\r\n", "\n").split("\n"):
    if line == "":
        break
    if line[0] in " \t" and field is not None:
        field.append(line)
    else:
        field = [line] if line.lower().startswith("authentication-results:") else None
        if field:
            fields.append(field)
for field in fields:
    header = authres.all_features().parse("\n".join(field))
    results = [[result.method, result.result, {f"{one.type}.{one.name}": one.value for one in result.properties}]
               for result in header.results]
    print(json.dumps([header.authserv_id, *results]))
