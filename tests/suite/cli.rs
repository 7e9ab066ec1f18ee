//! The command line as it is typed: what comes out, and the exit code. `TRYCMD=overwrite` writes the cases anew.

#[test]
fn cases_read_well() {
    trycmd::TestCases::new()
        .env("NO_COLOR", "1")
        .env("HOSTWRIGHT_INVENTORY", "")
        .case("tests/cli/*.trycmd")
        .run();
}
