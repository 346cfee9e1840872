"""`ticklake demo`: everything once, from a simulated tick to a checked gold row."""

from typing import Annotated

import typer

from ticklake import console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Start here")(demo)


def demo(
    *,
    seconds: Annotated[
        int, typer.Option(min=10, max=3600, help="How long the simulated market runs.")
    ] = 60,
    seed: Annotated[int, typer.Option(help="The same seed gives the same market.")] = 7,
) -> None:
    """Start the stack, stream a simulated market through it, build gold, check, and show it all.

    The market has the faults of real feeds: records out of order, twice, late and broken, a quiet
    pair, an outage. All of it carries is_mock = true. The stack stays up. Exit code 1: what was
    sent and what is stored do not add up, or a contract failed; 3: that could not be determined.
    """
    from datetime import UTC, datetime  # noqa: PLC0415 - as below

    from connectors.sources.simulated import Plan  # noqa: PLC0415 - slow, not needed for --help
    from flink_jobs.cluster import Cluster  # noqa: PLC0415 - the same
    from flink_jobs.run import jobs  # noqa: PLC0415 - the same
    from flink_jobs.settings import JobSettings  # noqa: PLC0415 - the same
    from ticklake import checks, demo_report, transform  # noqa: PLC0415 - the same
    from ticklake import demo as market  # noqa: PLC0415 - the same
    from ticklake.commands.apply import apply  # noqa: PLC0415 - the same
    from ticklake.local import stack  # noqa: PLC0415 - the same
    from ticklake.local.flink import client_environment  # noqa: PLC0415 - the same
    from ticklake.settings import load  # noqa: PLC0415 - the same

    stack.up(load())
    settings = load()  # again: the first `up` made the password
    apply(dry_run=False, as_json=False)
    cluster = Cluster(
        JobSettings(kafka=settings.kafka, catalog=settings.catalog, flink=settings.flink)
    )
    running = {j.name for j in cluster.jobs() if not j.ended}
    for name in jobs():
        if name not in running:
            console.step(f"submitting {name}")
            cluster.submit(name, client_environment(settings))

    console.step(f"the market is open for {seconds} s")
    began = datetime.now(UTC)
    reader = market.Reader(settings, began)
    reader.start()
    with demo_report.progress(seconds) as told:
        plan = Plan(start=began, seconds=seconds, seed=seed)
        ledger = market.stream_market(settings.kafka, plan, told)
        market.await_complete(settings, ledger)
    reader.finish()

    console.step("building silver and gold")
    report = transform.transform(settings, now=True, told=console.step)
    console.step("checking the contracts")
    verdicts = list(checks.run(settings, checks.contracts()))
    checks.write(verdicts, settings.local.home / "reports")

    adds_up = demo_report.show(settings, ledger, reader, report, verdicts)
    if not adds_up:
        raise typer.Exit(1)
    if code := checks.exit_code(verdicts):
        raise typer.Exit(code)
