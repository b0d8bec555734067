import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '@cairn/failure';
import { describe, expect, test } from '@jest/globals';
import { type Job, type JobRun, runJob, scheduleJobs } from './schedule-jobs.ts';

const EVERY_SECOND = '* * * * * *';

describe('jobs', () => {
  test('run at their times on the owner alone, one run after the other, and end before they are disposed of', async () => {
    let isOwner = false;
    let running = 0;
    let most = 0;
    const runs: JobRun[] = [];
    const job: Job = {
      name: 'slow',
      when: EVERY_SECOND,
      async run() {
        running += 1;
        most = Math.max(most, running);
        await sleep(1_300);
        running -= 1;
        return { done: 1 };
      },
    };
    const scheduled = scheduleJobs([job, { ...job, name: 'never', when: 'off' }], {
      isOwner: () => isOwner,
      onRun: async (run) => void runs.push(run),
    });
    await sleep(1_200);
    expect([most, runs]).toEqual([0, []]);
    isOwner = true;
    await sleep(2_500);
    await scheduled[Symbol.asyncDispose]();
    const ended = runs.length;
    expect(running).toBe(0);
    expect(most).toBe(1);
    expect(runs[0]).toMatchObject({ job: 'slow', outcome: 'success', facts: { done: 1 } });
    await sleep(1_200);
    expect(runs.length).toBe(ended);
  }, 20_000);

  test('that fail say so and do not reject', async () => {
    const run = async (): Promise<never> => {
      throw new Failure({ code: 's3.unreachable', retry: 'later', message: 'no answer' });
    };
    expect(await runJob({ name: 'a', when: 'off', run })).toMatchObject({
      outcome: 'failure',
      error: 'no answer',
    });
  });

  test('at times that are none are a mistake of the configuration', () => {
    const job = { name: 'a', when: 'every now and then', run: async () => ({}) };
    expect(() => scheduleJobs([job], { isOwner: () => true, onRun: async () => {} })).toThrow(/job a/);
  });
});
