//! Every engine against the contract of `Datastore`: the product of [`conformance::CASES`] and
//! the table of backends. A new backend takes part by having a row there.

mod conformance;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    libtest_mimic::run(&arguments, conformance::trials()).exit()
}
