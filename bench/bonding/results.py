"""The results as they grow: one JSON file, whole and valid after every run, so that a run can be taken up again."""

import dataclasses
import json
import os

from .acceptance import judge_all


class ResultsError(Exception):
    """A file that cannot be taken up; the text says why and what to do."""


def errors_of(found):
    """What stopped a run or cells of it."""
    return ([found["error"]] if "error" in found else []) + found.get("errors", [])


class Results:
    def __init__(self, path, head):
        self.path = path
        self.data = {**head, "units": {}, "acceptance": []}

    @classmethod
    def resume(cls, path, head):
        try:
            data = json.loads(path.read_text())
        except OSError as error:
            raise ResultsError(f"{path}: {error.strerror}; leave --resume out to start anew") from None
        except ValueError as error:
            raise ResultsError(f"{path} is not a results file: {error}") from None
        if not isinstance(data, dict) or "units" not in data:
            raise ResultsError(f"{path} is not a results file of this program")
        if data.get("depth") != head["depth"]:
            raise ResultsError(f"{path} is of depth {data.get('depth')}, this is {head['depth']}: figures of both "
                               "do not mix; give the same depth or start anew")
        results = cls(path, head)
        results.data["units"] = data["units"]
        return results

    def has(self, unit, run):
        """Also when it stopped with an error it is to be done again."""
        found = self.data["units"].get(unit.name, {}).get("runs", {}).get(str(run))
        return found is not None and not errors_of(found)

    def keep(self, unit, run, found):
        entry = self.data["units"].setdefault(unit.name, {"about": str(unit.what), "runs": {}})
        entry["runs"][str(run)] = found
        self.save()

    def runs(self):
        """{unit: [found]}, in the order of the runs; what stopped half-way counts as far as it came."""
        return {name: [entry["runs"][key] for key in sorted(entry["runs"], key=int)]
                for name, entry in self.data["units"].items()}

    def errors(self):
        return [(name, key, error) for name, entry in self.data["units"].items()
                for key, found in entry["runs"].items() for error in errors_of(found)]

    def judge(self):
        """The acceptance rows, kept in the file as well."""
        rows = judge_all(self.runs())
        self.data["acceptance"] = [dataclasses.asdict(row) for row in rows]
        self.save()
        return rows

    def undecided(self):
        """The units some of whose runs, each judged alone, meet a point that others miss, or that stopped."""
        runs = self.runs()
        names = {name for name, _, _ in self.errors()}
        for name, founds in runs.items():
            verdicts = [[row.ok for row in judge_all({name: [found]})] for found in founds]
            names |= {name} if any(one != verdicts[0] for one in verdicts) else set()
        return names

    def save(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(self.path.name + ".part")
        part.write_text(json.dumps(self.data, indent=1) + "\n")
        os.replace(part, self.path)
