//! Infos and states in both formats.

use nkudo_metrics_core::{CurrentState, Desc, Format, Info, Registry, StateSet, label_enum, label_set};

use crate::{ByName, openmetrics, text};

label_set! {
    /// What is running.
    struct Build { version: String, commit: &'static str }
}

label_enum! {
    /// Conditions that hold beside each other.
    enum Condition { Full = "full", Slow = "slow \"or\" worse" }
}

label_enum! {
    /// Where something stands.
    enum Phase { Idle = "idle", Busy = "busy" }
}

fn by_name(name: &str) -> ByName {
    ByName { name: name.to_owned() }
}

#[test]
fn infos_and_states_are_written_to_the_letter() {
    let registry = Registry::new();
    let build = Desc::info("build_info", "The build.").labels(&["version", "commit"]).with_prefix("own_");
    registry.info(&build, &Build { version: "1.2\n".to_owned(), commit: "abc" });
    registry.current_state::<Phase>(&Desc::state_set("phase", "Where it stands.")).set(Phase::Busy);
    let conditions = Desc::state_set("conditions", "What holds.").labels(&["name"]).with_prefix("disk_");
    let conditions = registry.family::<ByName, StateSet<Condition>>(&conditions);
    conditions.get(&by_name("sda")).set(Condition::Slow, true);
    conditions.get(&by_name("sdb"));
    let states = "disk_conditions{name=\"sda\",disk_conditions=\"full\"} 0\n\
        disk_conditions{name=\"sda\",disk_conditions=\"slow \\\"or\\\" worse\"} 1\n\
        disk_conditions{name=\"sdb\",disk_conditions=\"full\"} 0\n\
        disk_conditions{name=\"sdb\",disk_conditions=\"slow \\\"or\\\" worse\"} 0\n";
    let (info, phase) = (
        "own_build_info{version=\"1.2\\n\",commit=\"abc\"} 1\n",
        "phase{phase=\"idle\"} 0\nphase{phase=\"busy\"} 1\n",
    );
    let plain = format!(
        "# HELP disk_conditions What holds.\n# TYPE disk_conditions gauge\n{states}\
        # HELP own_build_info The build.\n# TYPE own_build_info gauge\n{info}\
        # HELP phase Where it stands.\n# TYPE phase gauge\n{phase}"
    );
    let open = format!(
        "# HELP disk_conditions What holds.\n# TYPE disk_conditions stateset\n{states}\
        # HELP own_build The build.\n# TYPE own_build info\n{info}\
        # HELP phase Where it stands.\n# TYPE phase stateset\n{phase}# EOF\n"
    );
    assert_eq!(text(&registry, Format::Text004), plain);
    assert_eq!(text(&registry, Format::OpenMetrics100), open);
    openmetrics::read_by_others(&registry);
    let of_state = |sample: &nkudo_metrics_core::Sample| sample.labels.last().unwrap().clone();
    let on: Vec<_> = registry.snapshot().iter().filter(|sample| sample.value == 1.0).map(of_state).collect();
    let expected = [("disk_conditions", "slow \"or\" worse"), ("commit", "abc"), ("phase", "busy")];
    assert_eq!(on, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn an_info_that_changes_is_another_series() {
    let registry = Registry::new();
    let models = registry.info_family::<ByName>(&Desc::info("model_info", "The model.").labels(&["name"]));
    models.get(&by_name("old"));
    assert!(models.remove(&by_name("old")));
    models.get(&by_name("new"));
    let families = openmetrics::families(&registry);
    let names: Vec<&str> =
        families["model"].samples.iter().map(|sample| sample.labels["name"].as_str()).collect();
    assert_eq!(names, ["new"]);
}

/// A scrape between two states sees one of them.
#[test]
fn a_scrape_sees_exactly_one_current_state() {
    let registry = Registry::new();
    let phase = registry.current_state::<Phase>(&Desc::state_set("phase", "Where it stands."));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (0..20_000).for_each(|i| phase.set(if i % 2 == 0 { Phase::Busy } else { Phase::Idle }))
        });
        while !writer.is_finished() {
            assert_eq!(registry.snapshot().iter().map(|sample| sample.value).sum::<f64>(), 1.0);
        }
    });
}

#[test]
fn mistakes_are_found_at_registration() {
    fn check(desc: &Desc, sentence: &str) {
        let registered = std::panic::catch_unwind(|| {
            if desc.labels.is_empty() {
                Registry::new().cell::<CurrentState<Phase>>(desc);
            } else {
                Registry::new().family::<ByName, Info>(desc);
            }
        });
        let message = *registered.expect_err(sentence).downcast::<String>().unwrap();
        assert!(message.contains(sentence), "{message}");
    }
    check(&Desc::info("build", "No suffix.").labels(&["name"]), "ends in _info");
    check(&Desc::info("a_info", "A unit.").labels(&["name"]).unit("a"), "have a unit");
    check(&Desc::state_set("a_seconds", "A unit.").unit("seconds"), "have a unit");
    check(&Desc::gauge("phase", "Another type."), "declared as another type");
    let registered = std::panic::catch_unwind(|| {
        Registry::new()
            .family::<ByName, CurrentState<Phase>>(&Desc::state_set("name", "N.").labels(&["name"]))
    });
    let message = *registered.expect_err("a label called name").downcast::<String>().unwrap();
    assert!(message.contains("is called like the metric"), "{message}");
    let taken = std::panic::catch_unwind(|| {
        let registry = Registry::new();
        registry.gauge(&Desc::gauge("build", "The name of the family."));
        registry.info(&Desc::info("build_info", "The build.").labels(&["name"]), &by_name("a"));
    });
    let message = *taken.expect_err("a name taken").downcast::<String>().unwrap();
    assert!(message.contains("build is registered twice"), "{message}");
}
