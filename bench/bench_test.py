# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark makes of figures, with figures that are made up, and of its arguments."""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).absolute().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]

import bench
import figures
import report
import runs

GROWTH_COUNTS = (1000, 10000000)


def made_up(subjects, **factors):
    """Returns a run in which everything takes 10 ns, times the factor of a subject."""
    samples = {}
    for name in subjects:
        factor = factors.get(name, 1)
        of_size = {
            figure: [value * factor for value in (9, 1000, 10, 8, 11)] for figure in figures.TIMES
        }
        for growth in figures.GROWTH:
            of_size.update({f"{growth}_{count}": [10 * factor] for count in GROWTH_COUNTS})
        of_size.update(bytes=[17], pools=[5 * factor], pools_bytes=[500 * factor])
        of_size.update({figure: [100] for figure in figures.TRIM})
        samples[name] = {str(size): dict(of_size) for size in figures.SIZES}
        for figure in figures.FIGURES:
            if figure.startswith("tree"):
                samples[name]["16"].pop(figure, None)
    run = {"samples": samples, "machine": {"processor": "of a test"}, "missing": {}}
    return dict(run, repeats=5, quick=False, optimized=True, command="bench")


def verdicts(run):
    return {
        name: (reached, report.judgement(most, reached, missing, run["quick"]))
        for name, most, reached, missing in report.verdicts(run)
    }


class Arithmetic(unittest.TestCase):
    def test_median_is_of_the_repeats(self):
        medians = report.Medians(made_up(["default"]))
        self.assertEqual(medians.get("default", 64, "churn"), 10)
        self.assertIsNone(medians.get("default", 64, "nothing"))
        self.assertIsNone(medians.get("scudo", 64, "churn"))

    def test_ratio_is_of_medians(self):
        medians = report.Medians(made_up(["default", "scudo"], scudo=4))
        self.assertEqual(medians.ratio("default", "scudo", 16, "churn"), 10 / 40)
        self.assertEqual(medians.ratio("scudo", "default", 16, "churn"), 4)
        self.assertIsNone(medians.ratio("default", "boost", 16, "churn"))

    def test_ratio_to_the_best_is_the_largest(self):
        medians = report.Medians(made_up(["default", "glibc", "boost"], glibc=5, boost=0.5))
        self.assertEqual(medians.ratios("default", ["glibc", "boost"])[64, "churn"], 2)

    def test_mean_is_geometric(self):
        self.assertAlmostEqual(report.mean([0.5, 2]), 1)
        self.assertAlmostEqual(report.mean([1, 8, 27]), 6)

    def test_numbers_have_three_digits(self):
        values = [None, 0.123, 1.234, 12.34, 123.4, 1234.5]
        self.assertEqual(
            [report.number(value) for value in values], ["-", "0.12", "1.23", "12.3", "123", "1,234"]
        )


class Verdicts(unittest.TestCase):
    # Demands of its own: those of the project are none of what is tested.
    DEMANDS = dict.fromkeys(figures.DEMANDS, 1.0)
    DEMANDS.update(dict.fromkeys(("boost, churn", "boost, lifo", "boost, fifo")))
    DEMANDS.update({"growth of new": 2.0, "growth of free": 2.0})
    DEMANDS.update({"trim, resident": 1.05, "trim, bounded": 1.05})

    def setUp(self):
        patch = unittest.mock.patch.dict(figures.DEMANDS, self.DEMANDS)
        patch.start()
        self.addCleanup(patch.stop)

    def test_all_is_met_where_all_is_as_fast(self):
        for name, (_, judgement) in verdicts(made_up(figures.SUBJECTS)).items():
            expected = "told only" if figures.DEMANDS[name] is None else "met"
            self.assertEqual(judgement, expected, name)

    def test_what_is_demanded_is_judged(self):
        run = made_up(figures.SUBJECTS, default=1.1)
        found = verdicts(run)
        for name in ("libcork, largest", "libcork, mean", "best unchecked, mean", "scudo, mean"):
            self.assertAlmostEqual(found[name][0], 1.1)
            self.assertEqual(found[name][1], "NOT MET")
        self.assertEqual(found["paranoid to scudo, mean"][1], "met")
        self.assertEqual(found["pools, time"][1], "NOT MET")
        self.assertEqual(found["pools, bytes"][1], "NOT MET")

    def test_one_slow_cell_is_the_largest(self):
        run = made_up(figures.SUBJECTS)
        run["samples"]["default"]["1000"]["walk"] = [30]
        found = verdicts(run)
        self.assertAlmostEqual(found["libcork, largest"][0], 3)
        self.assertAlmostEqual(found["libcork, mean"][0], 3 ** (1 / 47))

    def test_best_peer_of_each_cell_counts(self):
        run = made_up(figures.SUBJECTS)
        for peer in ("boost", "mimalloc"):
            run["samples"][peer]["64"]["lifo" if peer == "boost" else "fifo"] = [5]
        found = verdicts(run)
        self.assertAlmostEqual(found["best unchecked, mean"][0], 4 ** (1 / 47))
        self.assertAlmostEqual(found["boost, lifo"][0], 2 ** (1 / 4))
        self.assertAlmostEqual(found["boost, fifo"][0], 1)

    def test_scudo_is_no_unchecked_peer(self):
        found = verdicts(made_up(figures.SUBJECTS, scudo=0.1))
        self.assertAlmostEqual(found["best unchecked, mean"][0], 1)
        self.assertAlmostEqual(found["scudo, mean"][0], 10)

    def test_flatness_is_of_the_worst_size(self):
        run = made_up(figures.SUBJECTS)
        run["samples"]["default"]["16"]["growth_new_10000000"] = [25]
        run["samples"]["default"]["64"]["growth_first_1000"] = [99]
        run["samples"]["default"]["256"]["growth_free_1000"] = [15]
        found = verdicts(run)
        self.assertEqual(found["growth of new"], (2.5, "NOT MET"))
        self.assertEqual(found["growth of free"], (1.5, "met"))

    def test_memory_is_judged(self):
        run = made_up(figures.SUBJECTS)
        run["samples"]["default"]["16"]["bytes"] = [18.5]
        run["samples"]["default"]["256"]["trim_after"] = [106]
        run["samples"]["default"]["64"]["trim_last_peak"] = [104]
        found = verdicts(run)
        self.assertEqual(found["bytes beyond 16"], (2.5, "NOT MET"))
        self.assertEqual(found["trim, resident"], (1.06, "NOT MET"))
        self.assertEqual(found["trim, bounded"], (1.04, "met"))

    def test_what_is_missing_is_told(self):
        without = [name for name in figures.SUBJECTS if name not in ("libcork", "jemalloc")]
        found = verdicts(made_up(without))
        self.assertEqual(found["libcork, mean"], (None, "not measured"))
        self.assertEqual(found["pools, bytes"], (None, "not measured"))
        self.assertEqual(found["best unchecked, mean"][1], "met, 2 missing")
        run = made_up(figures.SUBJECTS)
        del run["samples"]["scudo"]["64"]["churn"]
        self.assertEqual(verdicts(run)["scudo, mean"][1], "met, 1 missing")
        self.assertEqual(verdicts(made_up(["scudo"]))["trim, resident"][1], "not measured")

    def test_quick_run_is_never_simply_met(self):
        judgements = {j for _, j in verdicts(dict(made_up(figures.SUBJECTS), quick=True)).values()}
        self.assertEqual(judgements, {"met, in a quick run", "told only"})


class Report(unittest.TestCase):
    def test_ratios_stand_first_and_what_is_missing_is_named(self):
        run = made_up(["default", "canary", "scudo"], scudo=4)
        run["missing"] = {"boost": "not here"}
        text = "\n".join(report.lines(run))
        self.assertLess(text.index("## Ratios"), text.index("## Figures"))
        self.assertLess(text.index("## Figures"), text.index("## Verdict"))
        self.assertRegex(text, r"\| churn +\| +1.00 \| +4.00 \|")
        self.assertRegex(text, r"\| churn +\| +10.0 \| +40.0 \|")
        self.assertIn("boost: not here", text)
        self.assertIn("processor: of a test", text)

    def test_quick_and_not_optimized_are_told(self):
        text = "\n".join(report.lines(dict(made_up(["default"]), quick=True, optimized=False)))
        self.assertIn("quick run", text)
        self.assertIn("without optimization", text)

    def test_rows_without_figures_are_left_out(self):
        run = made_up(["default", "libcork"])
        lines = report.lines(run)
        tree = [line for line in lines if line.startswith("| tree ")]
        # Ratios and figures, own and others, of three sizes.
        self.assertEqual(len(tree), 12)

    def test_charts_have_bars_for_each_and_curves_for_growth(self):
        charts = bench.charts(made_up(["default", "canary", "scudo"], scudo=4), pathlib.Path("d"))
        by_name = {pathlib.Path(chart["path"]).stem: chart for chart in charts}
        self.assertEqual(len(by_name), 4 * 5)
        peers = by_name["peers_64"]
        self.assertEqual(list(peers["series"]), ["scudo"])
        self.assertEqual(peers["series"]["scudo"][peers["x"].index("churn")], 4)
        self.assertEqual(list(by_name["protections_64"]["series"]), ["canary"])
        self.assertEqual(by_name["growth_new_16"]["x"], list(GROWTH_COUNTS))
        self.assertEqual(list(by_name["growth_new_16"]["series"]), ["default", "scudo"])


class Files(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.path = pathlib.Path(scratch.name, "run.json")

    def test_run_is_read_as_it_was_written(self):
        run = made_up(["default", "scudo"])
        with contextlib.redirect_stdout(io.StringIO()):
            bench.write(run, self.path)
        self.assertEqual(report.load(self.path), run)

    def test_file_without_a_run_is_refused(self):
        good = made_up(["default"])
        bad = [
            "",
            "[]",
            json.dumps(dict(good, samples={"default": {"x": {}}})),
            json.dumps(dict(good, samples={"default": {"16": {"churn": []}}})),
            json.dumps(dict(good, samples={"default": {"16": {"churn": ["1"]}}})),
            json.dumps(dict(good, samples={"another": {}})),
            json.dumps(dict(good, samples=[])),
            json.dumps(dict(good, machine=None)),
            json.dumps({key: good[key] for key in good if key != "quick"}),
        ]
        for text in bad:
            self.path.write_text(text)
            with self.assertRaisesRegex(runs.Refusal, "run.json holds no run", msg=text):
                report.load(self.path)

    def test_missing_file_is_refused(self):
        with self.assertRaises(runs.Refusal):
            report.load(self.path)


class Programs(unittest.TestCase):
    def test_what_a_program_prints_is_read(self):
        self.assertEqual(runs.parse("p", "churn 1.5\nlifo 2\n"), {"churn": 1.5, "lifo": 2})

    def test_anything_else_is_refused(self):
        for text in ("", "churn\n", "churn x\n", "churn 1 2\n", "churn -1\n", "churn nan\n",
                     "churn inf\n", "churn 1\nchurn 2\n", "\n"):
            with self.assertRaises(runs.Refusal, msg=repr(text)):
                runs.parse("p", text)

    def test_all_subjects_take_turns(self):
        tasks = runs.plan(["default", "glibc", "scudo"], ["base", "pools"], [16, 64], 3)
        self.assertEqual(len(tasks), 3 * 2 * (3 + 1))
        self.assertEqual(
            tasks[:4],
            [("default", "base", 16), ("glibc", "base", 16), ("scudo", "base", 16),
             ("default", "pools", 16)],
        )
        self.assertEqual([name for name, _, _ in tasks[8:11]], ["glibc", "scudo", "default"])

    def test_what_is_left_is_told_by_the_weights_of_tasks(self):
        for done, width, line in (
            (1, None, "1/3 in 0:01:00, about 0:03:00 left: x"),
            (2, 80, "[" + "#" * 15 + "." * 15 + "]  2/3 in 0:01:00, about 0:01:00 left: x"),
            (0, 9, "0/3 in 0:01:00: x"),
        ):
            self.assertEqual(runs.progress([1, 1, 2], done, 60, "x", width), line)

    def test_growth_ends_where_memory_would(self):
        self.assertEqual(figures.count_of("default", "growth", 64, False), 10000000)
        self.assertEqual(figures.count_of("default", "growth", 1000, False), 1000000)
        self.assertEqual(figures.count_of("paranoid", "growth", 64, False), 1000000)
        self.assertEqual(figures.count_of("default", "base", 1000, False), 1000000)


class Arguments(unittest.TestCase):
    def run_bench(self, *arguments, **environment):
        command = [sys.executable, HERE / "bench.py", *arguments]
        return subprocess.run(command, env=dict(os.environ, **environment), capture_output=True,
                              text=True, check=False)

    def test_bad_arguments_start_no_run(self):
        """There are no programs here: a run would fail otherwise."""
        for arguments, words in (
            (["--sizes=17"], "known are 16, 64, 256, 1000"),
            (["--workloads=churn,sleep"], "no such workload: sleep; known are churn, lifo"),
            (["--subjects=default,"], "known are default, canary"),
            (["--repeats=0"], "is not a number"),
            (["--repeats=many"], "is not a number"),
            (["--quik"], "unrecognized"),
            (["here"], "unrecognized"),
            (["--json=/nowhere/at/all"], "cannot write /nowhere/at/all"),
            (["--from=/nowhere/at/all"], "/nowhere/at/all holds no run"),
        ):
            process = self.run_bench(*arguments)
            self.assertEqual(process.returncode, 2, arguments)
            self.assertIn(words, process.stderr)
            self.assertEqual(process.stdout, "")

    def test_file_of_a_run_is_told_again(self):
        with tempfile.TemporaryDirectory() as scratch:
            pathlib.Path(scratch, "run.json").write_text(json.dumps(made_up(["default", "scudo"])))
            process = self.run_bench("--from=run.json", BUILD_WORKING_DIRECTORY=scratch)
        self.assertEqual((process.returncode, process.stderr), (0, ""))
        self.assertIn("## Verdict", process.stdout)

    def test_names_are_in_the_order_of_the_program(self):
        options = bench.parse_arguments(["--subjects=scudo,default", "--quick"])
        self.assertEqual(options.subjects, ["default", "scudo"])
        self.assertEqual(options.repeats, bench.QUICK_REPEATS)


if __name__ == "__main__":
    unittest.main()
