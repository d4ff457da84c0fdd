"""Holds each line of a log, on standard input, against the schema in the file that is named."""

import json
import sys

import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
wrong = 0
for line in sys.stdin:
    for error in validator.iter_errors(json.loads(line)):
        wrong += 1
        print(f"{error.json_path}: {error.message}\n  in {line}")
        for cause in error.context:
            print(f"  {cause.json_path}: {cause.message}")
sys.exit(wrong > 0)
