// What the forwarder says of itself in the trail: where events go, what a destination refused, what was sent again, and what was lost
// before it could be sent. Names and filters, counts and places; nothing of an event, and no secret.
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { RecordDraft } from '@cairn/recorder';
import { visible } from '@cairn/session';
import type { DestinationConfig } from './config.ts';
import type { Refusal } from './deliver-items.ts';

/** What the forwarder asks of the recorder: resolves when the event is on disk. */
export interface ForwardingRecorder {
  record(draft: RecordDraft): Promise<unknown>;
}

/** The service of its own events. What a destination refuses of these is not told again: that would be refused as well. */
export const OWN_SERVICE = 'forwarder';

const REASON_MAX = 300;

/** What became of records that were sent again. */
export interface Replayed {
  readonly taken: number;
  readonly parked: number;
  /** Who asked for it, by the names that they gave. */
  readonly by: readonly string[];
}

/** Where it goes: no path, which may hold a secret. */
const receiverOf = (one: DestinationConfig): string =>
  one.type === 'syslog' ? `${one.host}:${one.port}` : new URL(one.url).host;

const facts = (one: DestinationConfig) => ({
  destination: one.name,
  type: one.type,
  to: receiverOf(one),
  filter: one.filter,
});

/** SHA-256 over everything that a configuration says of a destination, which holds names of files and no secret. */
const digestOf = (one: DestinationConfig): string =>
  createHash('sha256').update(JSON.stringify(one)).digest('hex');

/**
 * Records which destinations there are and what of them is otherwise than at the last start, and then keeps it for the next one.
 * A crash between the two tells the same change again.
 *
 * @param file of this process, which has what was recorded last.
 */
export async function recordDestinations(
  recorder: ForwardingRecorder,
  file: string,
  destinations: readonly DestinationConfig[],
  org: string,
): Promise<void> {
  const before = knownIn(file);
  const now = new Map(destinations.map((one) => [one.name, digestOf(one)]));
  const changed = destinations.filter(({ name }) => before.has(name) && before.get(name) !== now.get(name));
  const added = destinations.filter(({ name }) => !before.has(name));
  const removed = [...before.keys()].filter((name) => !now.has(name));
  if (changed.length + added.length + removed.length === 0) return;
  await recorder.record({
    ...own('policy_change', 'destinations/changed', org),
    detail: detailOf({ added: added.map(facts), changed: changed.map(facts), removed }),
  });
  // COMMIT POINT: from here on it is told.
  writeFileSync(`${file}.new`, JSON.stringify(Object.fromEntries(now)), { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
}

function knownIn(file: string): Map<string, string> {
  try {
    return new Map(Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw error;
  }
}

/** Events begin to go to a destination. */
export const startedEvent = (one: DestinationConfig, org: string): RecordDraft => ({
  ...own('export', 'forward/started', org),
  detail: detailOf(facts(one)),
});

/** Undefined when there is nothing to tell: all of them are events of the forwarder itself. */
export function parkedEvent(
  destination: string,
  refusals: readonly Refusal[],
  org: string,
): RecordDraft | undefined {
  const told = refusals.filter(({ item }) => !item.isOwn);
  const first = told[0];
  if (first === undefined) return undefined;
  const { topic, partition, offset } = first.item;
  return {
    ...own('export', 'forward/parked', org),
    result_status: 'failure',
    error_code: 'forward.refused',
    error_message: visible(first.reason).slice(0, REASON_MAX),
    detail: detailOf({
      count: told.length,
      destination,
      first_event: first.item.eventId,
      first_offset: offset,
      last_offset: told.at(-1)!.item.offset,
      partition,
      topic,
    }),
  };
}

/** A person had parked records sent again, who is named as they called themselves. */
export const replayedEvent = (
  destination: string,
  { taken, parked, by }: Replayed,
  org: string,
): RecordDraft => ({
  ...own('export', 'forward/replayed', org),
  result_status: parked === 0 ? 'success' : 'failure',
  detail: detailOf({ by, destination, parked, taken }),
});

/** Kafka let go of records before the destination had them. */
export const lostEvent = (
  destination: string,
  place: { readonly topic: string; readonly partition: number },
  offsets: number,
  org: string,
): RecordDraft => ({
  ...own('export', 'forward/lost', org),
  result_status: 'failure',
  error_code: 'forward.lost',
  detail: detailOf({ destination, offsets, partition: place.partition, topic: place.topic }),
});

const own = (kind: 'export' | 'policy_change', method: string, org: string) =>
  ({
    org_id: org,
    kind,
    phase: 'single',
    service: OWN_SERVICE,
    method,
    principal_type: 'service',
    result_status: 'success',
  }) as const satisfies Partial<RecordDraft>;

/** Compact JSON with sorted keys, as details are. */
const detailOf = (value: Readonly<Record<string, unknown>>): string =>
  JSON.stringify(Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1))));
