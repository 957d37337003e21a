"""The OpenAPI document of a node as a judge: does an answer, a body, an argument keep to it?

JSON Schema is checked by Debian's python3-jsonschema. OpenAPI 3.0 says `nullable` where JSON Schema has a type "null", and its objects are
open; here they are closed, so that a member that the document doesn't know is found.
"""
import copy
import json
import re
import sys

from harness import Skip

sys.path.append("/usr/lib/python3/dist-packages")  # for another python than Debian's own
try:
    import jsonschema
except ImportError:
    jsonschema = None

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")


def need_jsonschema():
    if jsonschema is None:
        raise Skip("NOT CHECKED: no python3-jsonschema; tools/test installs Debian's")


def is_time(value):
    return not isinstance(value, str) or bool(TIME.match(value))


class Document:
    def __init__(self, text):
        need_jsonschema()
        self.raw = json.loads(text)
        self.formats = jsonschema.FormatChecker(formats=())
        self.formats.checks("date-time")(is_time)
        self.operations = []  # (method, path template, operation)
        for path, item in self.raw["paths"].items():
            for method, operation in item.items():
                self.operations.append((method.upper(), path, operation))

    def at(self, reference):
        node = self.raw
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        return node

    def resolve(self, node):
        """Without references: as a plain JSON Schema when it is a schema."""
        if isinstance(node, list):
            return [self.resolve(n) for n in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return self.resolve(self.at(node["$ref"]))
        found = {k: self.resolve(v) for k, v in node.items()}
        if found.pop("nullable", False) and isinstance(found.get("type"), str):
            found["type"] = [found["type"], "null"]
        return found

    def find(self, method, path):
        """The operation that serves this path; what is spelled out comes before what is a parameter."""
        asked = path.split("?")[0].split("/")
        best = None
        for known, template, operation in self.operations:
            parts = template.split("/")
            if known != method or len(parts) != len(asked):
                continue
            if all(p == a or p.startswith("{") for p, a in zip(parts, asked)):
                rank = sum(p.startswith("{") for p in parts)
                best = min(best or (rank, template, operation), (rank, template, operation), key=lambda b: b[0])
        assert best, f"{method} {path} is not in the document"
        return best[2]

    def errors(self, schema, value, closed=False):
        schema = self.resolve(schema)
        if closed:
            schema = close(schema)
        validator = jsonschema.Draft7Validator(schema, format_checker=self.formats)
        return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(value)]

    def body_schema(self, operation):
        """None: it takes no JSON."""
        content = operation.get("requestBody", {}).get("content", {})
        return content.get("application/json", {}).get("schema")

    def check_answer(self, method, path, answer):
        """What the document says about this answer holds. The operation comes back."""
        operation = self.find(method, path)
        where = f"{method} {path} -> {answer!r}"
        response = operation["responses"].get(str(answer.status))
        assert response, f"status {answer.status} is not in the document: {where}"
        response = self.resolve(response)
        headers = {k.lower(): v for k, v in answer.headers.items()}
        for name in ("x-autonomy-index", "x-autonomy-term", "x-request-id"):
            assert name in headers, f"no header {name}: {where}"
        for name in ("Location", "Retry-After"):
            promised = name in response["headers"] and "problem" in headers["content-type"] or name == "Location" and name in response["headers"]
            assert not promised or name.lower() in headers, f"no header {name}: {where}"
        kind = headers["content-type"].replace("; charset=utf-8", "")
        known = {k.replace("; charset=utf-8", ""): v for k, v in response["content"].items()}
        assert kind in known, f"{kind} is none of {list(known)}: {where}"
        if kind in ("application/json", "application/problem+json"):
            value = json.loads(answer.body)
            errors = self.errors(known[kind]["schema"], value, closed=True)
            assert not errors, f"{errors[:5]}: {where}"
            if kind == "application/problem+json":
                assert value["status"] == answer.status and value["type"] == f"urn:autonomy:problem:{value['code']}", value
        return operation


def members(schema):
    """Names of all the properties that a value of this schema may have: None, if any."""
    if "anyOf" in schema or "allOf" in schema:
        found = set(schema.get("properties", {}))
        for part in schema.get("anyOf", []) + schema.get("allOf", []):
            names = members(part)
            if names is None:
                return None
            found |= names
        return found
    return set(schema["properties"]) if schema.get("properties") else None


def close(schema):
    """Every object takes the members that are described, and no others."""
    if isinstance(schema, list):
        return [close(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    if "anyOf" in schema or "allOf" in schema:
        names = members(schema)
        found = {k: [close_inside(p) for p in v] if k in ("anyOf", "allOf") else v for k, v in schema.items()}
        if names is not None:
            found["propertyNames"] = {"enum": sorted(names)}
        return found
    found = close_inside(schema)
    if found.get("properties") and "additionalProperties" not in found:
        found["additionalProperties"] = False
    return found


def close_inside(schema):
    """The same for what is nested, not for the object itself."""
    found = dict(schema)
    if "properties" in found:
        found["properties"] = {k: close(v) for k, v in found["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = close(found[key])
    for key in ("anyOf", "allOf"):
        if key in found:
            found[key] = [close_inside(p) for p in found[key]]
    return found


def spoiled(schema, value):
    """Bodies that the schema refuses, each with what is wrong: made of a good one, everywhere it can be spoiled."""
    if "properties" in schema and isinstance(value, dict):
        yield "an unknown field", {**value, "surprise": 1}
        for name in schema.get("required", []):
            yield f"{name} is missing", {k: v for k, v in value.items() if k != name}
        for name, part in schema["properties"].items():
            if name in value:
                for what, bad in spoiled(part, value[name]):
                    yield f"{name}: {what}", {**value, name: bad}
            else:
                for what, bad in wrong(part):
                    yield f"{name}: {what}", {**value, name: bad}
    elif "items" in schema and isinstance(value, list):
        yield from wrong(schema)
        for what, bad in spoiled(schema["items"], value[0]) if value else ():
            yield f"[0]: {what}", [bad, *value[1:]]
    else:
        yield from wrong(schema)


def wrong(schema):
    """Values that the schema itself refuses."""
    kind = schema.get("type", "any")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "any":
        return
    for name, value in (("string", "text"), ("integer", 7), ("boolean", True), ("array", []), ("object", {})):
        if name != kind:
            yield f"{name} for {kind}", copy.deepcopy(value)
    if kind == "integer":
        yield "a fraction", 1.5
    if "minimum" in schema:
        yield "too small", schema["minimum"] - 1
    if "maximum" in schema and schema["maximum"] < 2 ** 53 - 1:
        yield "too large", schema["maximum"] + 1
    if "enum" in schema:
        yield "none of the words", "surprise"
    if kind == "string" and "maxLength" in schema:
        yield "too long", ("a" if "0-9A-Fa-f" in schema.get("pattern", "") else "x") * (schema["maxLength"] + 1)
    if schema.get("minLength", 0) > 0:
        yield "empty", ""
    if "A-Za-z0-9._-" in schema.get("pattern", ""):
        yield "no name", "-no name"
        yield "a long name", "n" * 129
    if schema.get("pattern") == "\\S":
        yield "only blanks", "  "
    if schema.get("format") == "date-time":
        yield "no time", "yesterday"
    if kind == "array" and "maxItems" in schema:
        item = {"type": "string"} if "items" not in schema else schema["items"]
        if item.get("type") == "string":
            yield "too many", [f"n{i}" for i in range(schema["maxItems"] + 1)]
    if schema.get("minItems", 0) > 0:
        yield "none", []
