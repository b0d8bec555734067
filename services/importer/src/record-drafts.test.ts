import { Failure } from '@cairn/failure';
import type { Recorder } from '@cairn/recorder';
import { describe, expect, test } from '@jest/globals';
import type { Drafted } from './draft-from-telemetry.ts';
import { draftRecorder } from './record-drafts.ts';

const drafts = (count: number): Drafted[] =>
  Array.from({ length: count }, (_, index) => ({
    kind: 'event',
    sameAs: `same-${index}`,
    draft: { org_id: 'acme', kind: 'tool_call', phase: 'single', tool_name: `tool-${index}` },
  }));

/** A recorder that takes events while its trouble lets it. */
function recorderWith(trouble: (name: string, attempt: number) => Failure | undefined) {
  const recorded: string[] = [];
  let attempts = 0;
  const record = async ({ tool_name: name = '' }: Parameters<Recorder['record']>[0]) => {
    attempts += 1;
    const failure = trouble(name, attempts);
    if (failure !== undefined) throw failure;
    recorded.push(name);
    return {} as Awaited<ReturnType<Recorder['record']>>;
  };
  return { recorded, recorder: { record } };
}

const full = new Failure({ code: 'spool.full', retry: 'later', message: 'no room' });

describe('a request whose records do not all reach the disk', () => {
  test('is not answered with success, and when it comes again nothing is recorded twice and nothing is missing', async () => {
    const { recorded, recorder } = recorderWith((_, attempt) =>
      attempt === 3 || attempt === 4 ? full : undefined,
    );
    const importing = draftRecorder(recorder);
    await expect(importing.record(drafts(5))).rejects.toBe(full);
    expect(recorded).toHaveLength(3);
    expect(await importing.record(drafts(5))).toEqual({ recorded: 5, others: 0, rejected: [] });
    expect(recorded.toSorted()).toEqual(['tool-0', 'tool-1', 'tool-2', 'tool-3', 'tool-4']);
  });

  test('names those that will never fit, and takes the others', async () => {
    const invalid = new Failure({ code: 'event.too-large', retry: 'no', message: 'too large' });
    const { recorder } = recorderWith((name) => (name === 'tool-1' ? invalid : undefined));
    expect(await draftRecorder(recorder).record([...drafts(3), { kind: 'other' }])).toEqual({
      recorded: 2,
      others: 1,
      rejected: [{ index: 1, reason: 'too large' }],
    });
  });
});

test('what comes twice at the same time is recorded once', async () => {
  const { recorded, recorder } = recorderWith(() => undefined);
  const importing = draftRecorder(recorder);
  await Promise.all([importing.record([...drafts(4), ...drafts(4)]), importing.record(drafts(4))]);
  expect(recorded).toHaveLength(4);
});
