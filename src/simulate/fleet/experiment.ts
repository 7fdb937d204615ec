import type { Trace } from '../traces/trace.ts';
import type { FleetPlan, PairPlan, PolicyFactory } from './fleet-plan.ts';
import { interval, type Interval } from './interval.ts';
import { Simulation, type RunResult } from './simulation.ts';
import { summarise, type Objective, type Summary } from './summary.ts';

/** One way of choosing that takes part in a comparison. */
export interface Contender {
  readonly name: string;
  readonly policy: PolicyFactory;
  /** How requests are split; undefined where none are. */
  readonly pairs?: PairPlan | undefined;
}

/** The same for every contender; a trace and a fleet per seed. */
export interface Scenario {
  readonly contenders: readonly Contender[];
  readonly seeds: readonly number[];
  readonly traceOf: (seed: number) => Trace;
  readonly fleet: Omit<FleetPlan, 'policy' | 'pairs' | 'seed'>;
  readonly objective: Objective;
}

export interface Row {
  readonly contender: string;
  readonly runs: readonly Summary[];
  /** The run of the first seed, for plots. */
  readonly sample: RunResult;
}

export interface Progress {
  /** Share of all runs that is done, 0 to 1. */
  readonly done: number;
  readonly contender: string;
}

/** Runs every contender on every seed; yields now and then, so that progress can be shown. */
export function* runScenario(scenario: Scenario): Generator<Progress, readonly Row[]> {
  const { contenders, seeds, traceOf, fleet, objective } = scenario;
  const collected = contenders.map(({ name }) => ({
    contender: name,
    runs: [] as Summary[],
    samples: [] as RunResult[],
  }));
  let runsDone = 0;
  for (const seed of seeds) {
    const trace = traceOf(seed);
    for (const [index, { name, policy, pairs }] of contenders.entries()) {
      const simulation = new Simulation(trace, { ...fleet, policy, pairs, seed });
      const steps = simulation.steps();
      for (;;) {
        const step = steps.next();
        if (step.done) {
          collected[index]?.runs.push(summarise(trace, step.value, objective));
          if (seed === seeds[0]) collected[index]?.samples.push(step.value);
          break;
        }
        yield {
          done: (runsDone + simulation.progress) / (seeds.length * contenders.length),
          contender: name,
        };
      }
      runsDone += 1;
      yield { done: runsDone / (seeds.length * contenders.length), contender: name };
    }
  }
  return collected.flatMap(({ contender, runs, samples: [sample] }) =>
    sample ? [{ contender, runs, sample }] : [],
  );
}

/** A number of each run, with its confidence interval over the seeds. */
export function over(row: Row, pick: (summary: Summary) => number): Interval {
  return interval(row.runs.map(pick));
}
