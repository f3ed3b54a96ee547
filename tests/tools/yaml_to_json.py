"""Reads YAML on standard input, and writes it as JSON."""

import json
import sys

import yaml

json.dump(yaml.safe_load(sys.stdin), sys.stdout)
