import assert from 'node:assert/strict';
import type { ClickHouse } from '@cairn/adapters';
import type { SessionEvent } from '@cairn/session';
import type { LoggedEvent, LogPosition } from '../read-log.ts';

const EMPTY: SessionEvent = {
  event_id: '',
  call_id: null,
  kind: 'tool_call',
  phase: 'outcome',
  timestamp: 0,
  gateway_id: 'gw-1',
  epoch: 1,
  seq: 0,
  org_id: 'acme',
  agent_id: 'agent-1',
  agent_version: '',
  user_id: '',
  auth_method: '',
  session_id: '',
  session_source: 'asserted',
  client_name: '',
  client_version: '',
  protocol_version: '',
  method: 'tools/call',
  service: 'files',
  tool_name: '',
  action: 'read',
  sensitivity: 'internal',
  data_classes: [],
  parameters_shape: '',
  parameters_tokens: [],
  parameters_kept: [],
  parameters_size: null,
  decision: 'allow',
  enforcement: 'enforce',
  rules_matched: [],
  policy_errors: [],
  result_status: 'success',
  error_code: '',
  error_message: '',
  response_size: null,
  latency_ms: null,
  upstream_ms: null,
  redactions: [],
  attempt: null,
};

export function loggedEvent(event: Partial<LoggedEvent> & LogPosition): LoggedEvent {
  return { ...EMPTY, ...event };
}

/** A trail that answers what the command line asks, out of an array. It breaks the test on any other question. */
export interface FakeTrail extends ClickHouse {
  readonly events: LoggedEvent[];
  /** Called with each statement before it is answered. */
  onAsked: (sql: string, settings: Readonly<Record<string, string | number>>) => void;
}

export function fakeTrail(events: LoggedEvent[] = []): FakeTrail {
  let closed = false;
  const inOrder = (left: LoggedEvent, right: LoggedEvent): number =>
    left.topic.localeCompare(right.topic) || left.partition - right.partition || left.offset - right.offset;

  const answer = (sql: string, parameters: Readonly<Record<string, unknown>>): unknown[] => {
    const limit = Number(parameters['limit'] ?? Number.POSITIVE_INFINITY);
    const positionOf = (event: LoggedEvent): number | undefined => {
      for (let index = 0; parameters[`t${index}`] !== undefined; index += 1) {
        const here = parameters[`t${index}`] === event.topic && parameters[`p${index}`] === event.partition;
        if (here) return Number(parameters[`o${index}`]);
      }
      return undefined;
    };
    if (sql.startsWith('SELECT topic, partition, max(offset)')) {
      const heads = new Map<string, LogPosition>();
      for (const { topic, partition, offset } of events.toSorted(inOrder)) {
        heads.set(`${topic}/${partition}`, { topic, partition, offset });
      }
      return [...heads.values()];
    }
    if (sql.includes('offset <= {o0:Int64}')) {
      return events
        .filter((event) => event.offset <= (positionOf(event) ?? -1))
        .toSorted((left, right) => right.timestamp - left.timestamp || inOrder(right, left))
        .slice(0, limit);
    }
    if (sql.includes('LIMIT {limit:UInt32} BY topic, partition')) {
      const behind = events.filter((event) => event.offset > (positionOf(event) ?? -1)).toSorted(inOrder);
      const counts = new Map<string, number>();
      return behind.filter(({ topic, partition }) => {
        const count = (counts.get(`${topic}/${partition}`) ?? 0) + 1;
        counts.set(`${topic}/${partition}`, count);
        return count <= limit;
      });
    }
    if (sql.includes('WHERE session_id = {id:String}')) {
      return events.filter((event) => event.session_id === parameters['id']);
    }
    if (sql.includes('startsWith(session_id, {prefix:String})')) {
      const ids = new Set(events.map(({ session_id }) => session_id));
      return [...ids]
        .filter((id) => id.startsWith(String(parameters['prefix'])))
        .map((session_id) => ({ session_id }));
    }
    return assert.fail(`the fake trail does not know this question: ${sql}`);
  };

  const trail: FakeTrail = {
    events,
    onAsked: () => {},
    async query<Row>(sql: string, parameters = {}, settings = {}) {
      assert(!closed, 'the trail is used after it was closed');
      trail.onAsked(sql, settings);
      return answer(sql, parameters) as Row[];
    },
    async stream(sql, format, settings = {}) {
      assert(!closed, 'the trail is used after it was closed');
      trail.onAsked(`${sql} FORMAT ${format}`, settings);
      return (async function* () {
        yield new TextEncoder().encode('one row\n');
      })();
    },
    exec: () => assert.fail('the command line wrote'),
    insertRows: () => assert.fail('the command line wrote'),
    insertBody: () => assert.fail('the command line wrote'),
    killQueries: () => assert.fail('the command line killed'),
    ping: async () => true,
    async [Symbol.asyncDispose]() {
      closed = true;
    },
  };
  return trail;
}
