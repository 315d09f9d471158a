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

def made_up(subjects, **factors):
    """Returns a run in which everything takes 10 ns, times the factor of a subject."""
    samples = {
        name: {
            str(size): {
                figure: [value * factors.get(name, 1) for value in (9, 1000, 10, 8, 11)]
                for figure in figures.FIGURES
                if (size, figure) != figures.IMPOSSIBLE
            }
            for size in figures.SIZES
        }
        for name in subjects
    }
    run = {"samples": samples, "machine": {"processor": "of a test"}, "missing": {}}
    return dict(run, repeats=5, quick=False, optimized=True, command="bench")


def demands(run):
    """Returns what is told of each demand: for each size, then for all."""
    cells = [line.strip("| ").split("|") for line in report.demand_lines(report.Medians(run))]
    return {name.strip(): [cell.strip() for cell in row] for name, *row in cells[2:]}


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

    def test_mean_is_geometric(self):
        self.assertAlmostEqual(report.mean([0.5, 2]), 1)
        self.assertAlmostEqual(report.mean([1, 8, 27]), 6)

    def test_numbers_have_three_digits(self):
        values = [None, 0.123, 1.234, 12.34, 123.4, 1234.5]
        self.assertEqual(
            [report.number(value) for value in values], ["-", "0.12", "1.23", "12.3", "123", "1,234"]
        )


class Demands(unittest.TestCase):
    LIBCORK = "cycle, mid, bursts, lifetimes to libcork, mean"
    BEST = "all of these to the best unchecked, mean"

    def test_figures_are_divided_and_reduced_for_each_size_and_for_all(self):
        run = made_up(figures.SUBJECTS, default=1.1)
        run["samples"]["default"]["64"]["cycle_100"] = [33]
        found = demands(run)
        self.assertEqual(len(found), len(report.DEMANDS) + 2)
        largest = "cycle to libcork: k = 16 to 1024, largest"
        self.assertEqual(found[largest], ["1.10", "3.30", "1.10", "1.10", "3.30"])
        mean_of_one, mean_of_all = 1.1 * 3 ** (1 / 19), 1.1 * 3 ** (1 / 76)
        self.assertEqual(found[self.LIBCORK][1], f"{mean_of_one:.2f}")
        self.assertEqual(found[self.LIBCORK][4], f"{mean_of_all:.2f}")
        self.assertEqual(found["PARANOID to Scudo: churn ... tree, mean"][4], "1.00")

    def test_the_best_peer_of_each_cell_counts(self):
        run = made_up(figures.SUBJECTS, scudo=0.1)
        for peer in ("boost", "mimalloc"):
            run["samples"][peer]["64"]["lifo" if peer == "boost" else "fifo"] = [0.001]
        mean = 10000 ** (2 / (len({*figures.TIMES, *figures.SMALL})))
        self.assertEqual(demands(run)[self.BEST][:2], ["1.00", f"{mean:.2f}"])

    def test_a_figure_is_divided_by_another_of_the_same_subject_or_by_none(self):
        run = made_up(["default", "guard"])
        run["samples"]["default"]["16"].update(cycle_65=[20], trim_after=[10.6], many_mappings=[5000])
        run["samples"]["guard"]["16"]["cycle_100"] = [200]
        found = demands(run)
        self.assertEqual(found["cycle: k = 65 to k = 64"][0], "2.00")
        self.assertEqual(found["after trim, to fresh"][0], "1.06")
        self.assertEqual(found["many: mappings"][0], "5,000")
        self.assertEqual(found["GUARD: cycle, k = 100, us a pool"][:2], ["20.0", "1.00"])

    def test_what_is_missing_is_marked_or_left_out(self):
        found = demands(made_up([name for name in figures.SUBJECTS if name not in ("libcork", "jemalloc")]))
        self.assertNotIn(self.LIBCORK, found)
        self.assertEqual(found[self.BEST], ["1.00*"] * 5)
        run = made_up(figures.SUBJECTS)
        del run["samples"]["libcork"]["64"]["mid_600"]
        self.assertEqual(demands(run)[self.LIBCORK], ["1.00", "1.00*", "1.00", "1.00", "1.00*"])

    def test_one_size_needs_no_other_column(self):
        run = made_up(["default"])
        run["samples"]["default"] = {"64": run["samples"]["default"]["64"]}
        self.assertEqual(demands(run)["bytes an object"], ["10.0"])


class Report(unittest.TestCase):
    def test_ratios_stand_first_and_what_is_missing_is_named(self):
        run = made_up(["default", "canary", "scudo"], scudo=4)
        run["missing"] = {"boost": "not here"}
        text = "\n".join(report.lines(run))
        self.assertLess(text.index("## Ratios"), text.index("## Figures"))
        self.assertLess(text.index("## Figures"), text.index("## Demands"))
        self.assertRegex(text, r"\| churn +\| +10.0 \| +4.00 \|")
        self.assertRegex(text, r"\| churn +\| +10.0 \| +40.0 \|")
        self.assertIn("boost: not here", text)
        self.assertIn("processor: of a test", text)

    def test_quick_and_not_optimized_are_told(self):
        text = "\n".join(report.lines(dict(made_up(["default"]), quick=True, optimized=False)))
        self.assertIn("quick run", text)
        self.assertIn("without optimization", text)

    def test_rows_without_figures_are_left_out(self):
        run = made_up(["default", "canary", "libcork"])
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
        self.assertEqual(by_name["growth_new_16"]["x"], [10**exponent for exponent in range(3, 8)])
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

    def test_instructions_are_counted_once_of_one_size(self):
        tasks = runs.plan(["default", "glibc"], ["instructions"], figures.SIZES, 3)
        self.assertEqual(tasks, [("default", "instructions", 64)])

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
        self.assertEqual(figures.count_of("default", "many", 1000, False), 2000)


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
        self.assertIn("## Demands", process.stdout)

    def test_names_are_in_the_order_of_the_program(self):
        options = bench.parse_arguments(["--subjects=scudo,default", "--quick"])
        self.assertEqual(options.subjects, ["default", "scudo"])
        self.assertEqual(options.repeats, bench.QUICK_REPEATS)


if __name__ == "__main__":
    unittest.main()
