import optuna
import pytest

from nas.optimizers import MCDSampler, Result, optimizer
from tests.nas.optimizers.test_mcd import descend
from tests.nas.problems import known_score, tiny_problem


def search(name, **settings):
    found = optimizer(name, tiny_problem(0.4), **settings)
    asked = []
    while candidates := found.ask():
        asked.append(candidates)
        found.tell([Result(c, known_score(c.architecture)) for c in candidates])
    return found, asked


@pytest.mark.parametrize("name", ["random", "nsga2", "tpe"])
def test_baselines_evaluate_as_many_networks_all_just_under_the_budget(name):
    found, asked = search(name, samples=6, iterations=3)
    budget = found.problem.budgets["macs"]
    assert [len(candidates) for candidates in asked] == [1, 6, 6, 6]
    costs = [c.metrics["macs"] for candidates in asked[1:] for c in candidates]
    assert all(cost <= budget for cost in costs)
    assert sum(cost >= 0.98 * budget for cost in costs) > len(costs) / 2
    again, _ = search(name, samples=6, iterations=3)
    assert again.family == found.family
    scores = [known_score(c.architecture) for cs in asked[1:] for c in cs]
    assert found.best().score == max(scores)


def test_the_sampler_of_a_users_own_study_descends_as_mcd_does():
    settings = {"samples": 4, "layers": 3, "iterations": 3}
    mcd, asked = descend(tiny_problem(0.7), **settings)
    sampler = MCDSampler(tiny_problem(0.7), **settings)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=sampler)

    def objective(trial):
        trial.suggest_float("learning_rate", 1e-3, 1e-1)
        return known_score(sampler.architecture(trial))

    study.optimize(objective, n_trials=100)
    expected = [dict(c.architecture) for candidates in asked for c in candidates]
    sampled = [{k: v for k, v in t.params.items() if k != "learning_rate"} for t in study.trials]
    # the trial that finds the descent done stops the study
    assert sampled[:-1] == expected
    assert sampled[-1] == dict(mcd.family[-1].architecture)
