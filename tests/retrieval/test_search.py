def test_a(sim_cohort):
    print(sim_cohort.cohort.search("deep sleep").hits, sim_cohort.truth.columns)
