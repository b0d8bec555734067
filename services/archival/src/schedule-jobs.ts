import { Failure, messageOf } from '@cairn/failure';
import { Cron } from 'croner';

/** Work that comes round again. Safe to run twice, and at the same time elsewhere. */
export interface Job {
  readonly name: string;
  /** Cron expression in UTC; `off` runs it never. */
  readonly when: string;
  /** @returns what it came to, as facts for its event: names and numbers, no content of events. */
  run(): Promise<Readonly<Record<string, unknown>>>;
}

/** How a run ended. */
export interface JobRun {
  readonly job: string;
  readonly outcome: 'success' | 'failure';
  readonly facts: Readonly<Record<string, unknown>>;
  readonly error: string | undefined;
  readonly tookMs: number;
}

export interface ScheduleOptions {
  /** Whether this instance is the one that runs jobs now. */
  readonly isOwner: () => boolean;
  /** Told of every run, before the next begins. */
  readonly onRun: (run: JobRun) => Promise<void>;
}

/**
 * Runs each job at its times, one run of it after the other, on the one instance that owns them. Dispose waits for what runs.
 *
 * @throws Failure `config.invalid` for an expression that is none.
 */
export function scheduleJobs(jobs: readonly Job[], { isOwner, onRun }: ScheduleOptions): AsyncDisposable {
  const running = new Set<Promise<void>>();
  const crons = jobs
    .filter(({ when }) => when !== 'off')
    .map((job) => {
      const turn = async (): Promise<void> => {
        if (!isOwner()) return;
        const run = runJob(job).then(onRun);
        running.add(run);
        await run.finally(() => running.delete(run));
      };
      return cronOf(job, turn);
    });
  return {
    async [Symbol.asyncDispose]() {
      for (const cron of crons) cron.stop();
      await Promise.allSettled(running);
    },
  };
}

function cronOf({ name, when }: Job, turn: () => Promise<void>): Cron {
  try {
    return new Cron(when, { protect: true, timezone: 'UTC' }, turn);
  } catch (cause) {
    throw new Failure({
      code: 'config.invalid',
      retry: 'no',
      message: `job ${name} cannot be run at ${JSON.stringify(when)}: ${messageOf(cause)}`,
      mend: 'Give a cron expression, such as "7 * * * *", or "off".',
      cause,
    });
  }
}

/** One run, which never rejects: that it failed is what it came to. */
export async function runJob({ name: job, run }: Job): Promise<JobRun> {
  const began = performance.now();
  try {
    const facts = await run();
    return { job, outcome: 'success', facts, error: undefined, tookMs: performance.now() - began };
  } catch (error) {
    return { job, outcome: 'failure', facts: {}, error: messageOf(error), tookMs: performance.now() - began };
  }
}
