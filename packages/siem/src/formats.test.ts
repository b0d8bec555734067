import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { events } from '../../event/test/events.ts';
import { ecsMistakes } from '../test/ecs-judge.ts';
import { DENIED, SAMPLES } from '../test/samples.ts';
import { vectors } from '../test/vectors.ts';
import {
  datadogLogOf,
  ecsOf,
  hecEventOf,
  ocsfOf,
  type StoredEvent,
  SYSLOG_BYTES_MIN,
  storedEvent,
  syslogMessageOf,
} from './index.ts';

const ajv = new Ajv2020({ strict: false });
const published = (name: string) =>
  ajv.compile(
    JSON.parse(
      readFileSync(join(import.meta.dirname, '..', 'test', 'published', `ocsf-1.8.0-${name}.json`), 'utf8'),
    ),
  );
const apiActivity = published('api_activity');
const detectionFinding = published('detection_finding');

function ocsfMistakes(event: Readonly<Record<string, unknown>>): unknown {
  const validate = event['class_uid'] === 2004 ? detectionFinding : apiActivity;
  return validate(event) ? [] : validate.errors;
}

/** Events of every shape, with texts that no name should have. */
const stored: fc.Arbitrary<StoredEvent> = fc
  .record({
    event: events,
    enemy: fc.string({ unit: 'binary', maxLength: 60 }),
    alert: fc.json(),
    place: fc.nat(),
  })
  .map(({ event, enemy, alert, place }) =>
    storedEvent(
      {
        ...event,
        agent_id: enemy,
        service: `${enemy}"]|=\\`,
        method: enemy,
        gateway_version: enemy,
        user_id: enemy,
        session_id: enemy,
        error_code: enemy,
        rules_matched: [enemy, enemy],
        policy_errors: [enemy],
        detail: alert,
        task: enemy,
      },
      {
        topic: 'audit.events.standard',
        partition: 0,
        offset: place,
        received_at: 1_795_459_200_000,
        leaf_hash: 'ab'.repeat(32),
        leaf_index: place,
      },
    ),
  );

const nowMs = 1_795_459_201_000;

/** All that a line, a terminal or a reader could be led astray by. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\ud800-\udfff]/u;

const textsOf = (value: unknown): string[] => {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [name, ...textsOf(inner)]);
};

test('the vectors stand as they were written', () => {
  const file = join(import.meta.dirname, '..', '..', '..', 'schemas', 'vectors', 'siem.json');
  expect(JSON.parse(JSON.stringify(vectors()))).toEqual(JSON.parse(readFileSync(file, 'utf8')));
});

describe('OCSF', () => {
  test.each(SAMPLES)('%s fits the published schema of its class', (_name, event) => {
    expect(ocsfMistakes(ocsfOf(event))).toEqual([]);
  });

  test('whatever an event says, it fits the published schema of its class', () => {
    fc.assert(fc.property(stored, (event) => expect(ocsfMistakes(ocsfOf(event))).toEqual([])));
  });

  test('the judge refuses an event without its actor, one with a field more, and an unknown activity', () => {
    const { actor: _actor, ...without } = ocsfOf(DENIED);
    expect(ocsfMistakes(without)).not.toEqual([]);
    expect(ocsfMistakes({ ...ocsfOf(DENIED), more: 1 })).not.toEqual([]);
    expect(ocsfMistakes({ ...ocsfOf(DENIED), activity_id: 9 })).not.toEqual([]);
  });

  test('a denial that is only watched is not said to have been blocked', () => {
    expect(ocsfOf({ ...DENIED, enforcement: 'monitor', result_status: 'pending' })).toMatchObject({
      action_id: 3,
      disposition: 'Logged',
      status_detail: 'would be denied',
    });
    expect(ocsfOf(DENIED)).toMatchObject({ action_id: 2, disposition_id: 2, severity_id: 3, activity_id: 4 });
  });
});

describe('ECS', () => {
  test.each(SAMPLES)('%s fits the published mapping and ours', (_name, event) => {
    expect(ecsMistakes(ecsOf(event))).toEqual([]);
  });

  test('whatever an event says, it fits the published mapping and ours', () => {
    fc.assert(fc.property(stored, (event) => expect(ecsMistakes(ecsOf(event))).toEqual([])));
  });

  test('a token never stands where an address belongs', () => {
    expect(ecsOf(DENIED)).not.toHaveProperty('source');
    expect(ecsOf(DENIED)).toMatchObject({ cairn: { source_token: DENIED.source_ip } });
  });
});

describe('every format', () => {
  const formats: readonly (readonly [string, (event: StoredEvent) => unknown])[] = [
    ['OCSF', ocsfOf],
    ['ECS', ecsOf],
    ['HEC', (event) => hecEventOf(event)],
    ['Datadog', (event) => datadogLogOf(event, { nowMs })],
    ['syslog', (event) => syslogMessageOf(event)],
  ];

  test.each(formats)('%s holds no character that moves, hides, reorders or ends a line', (_name, format) => {
    fc.assert(
      fc.property(stored, (event) => {
        for (const text of textsOf(format(event))) expect(text).not.toMatch(UNSAFE);
      }),
    );
  });

  test.each(formats)('%s keeps the coordinates of the proof', (_name, format) => {
    const text = JSON.stringify(format(DENIED)).replaceAll(/\\+"/g, '"');
    const place = [/offset"?[=:]"?1042/, /partition"?[=:]"?3/, /seq"?[=:]"?42/, /leaf_index"?[=:]"?1040/];
    for (const sign of [...place, 'audit.events.hipaa', DENIED.leaf_hash!, DENIED.event_id])
      expect(text).toMatch(sign);
  });

  test.each(formats)('%s is far below a megabyte, whatever an event holds', (_name, format) => {
    const long = 'ü'.repeat(16_000);
    const texts = Object.fromEntries(
      Object.entries(DENIED).map(([name, value]) => {
        if (Array.isArray(value))
          return [name, name === 'delegation' || name === 'redactions' ? value : Array(4_000).fill(long)];
        return [name, typeof value === 'string' && !/id$|hash|topic|kind|phase/.test(name) ? long : value];
      }),
    );
    const size = Buffer.byteLength(JSON.stringify(format({ ...DENIED, ...texts } as StoredEvent)));
    expect(size).toBeLessThan(700_000);
  });

  test('what was cut is said by name', () => {
    const event = { ...DENIED, task: 'x'.repeat(5_000), error_message: 'y'.repeat(1_025) };
    expect(ecsOf(event)).toMatchObject({ cairn: { cut: ['error_message', 'task'] } });
    expect(syslogMessageOf(event)).toContain(' cut="1"');
    expect(syslogMessageOf(DENIED)).not.toContain(' cut="1"');
  });
});

describe('HEC', () => {
  test('time is in seconds, and fields are flat texts', () => {
    const { time, fields } = hecEventOf(DENIED);
    expect(time).toBe(1_795_459_200.123);
    expect(Object.values(fields).every((value) => typeof value === 'string')).toBe(true);
  });
});

describe('Datadog', () => {
  test('an event too old for the intake goes under the intake’s time and says so', () => {
    const days = 2 * 86_400_000;
    const attributes = (nowMs: number) => JSON.parse(datadogLogOf(DENIED, { nowMs }).message);
    expect(attributes(1_795_459_200_123 + days)).toMatchObject({
      late: true,
      timestamp: 1_795_459_200_123 + days,
      event_time: '2026-11-23T18:40:00.123Z',
    });
    expect(attributes(1_795_459_201_000)).not.toHaveProperty('late');
  });

  test('an item holds texts alone, and its attributes are read from the message', () => {
    const log = datadogLogOf(DENIED, { nowMs });
    expect(Object.values(log).every((value) => typeof value === 'string')).toBe(true);
    expect(JSON.parse(log.message)).toMatchObject({
      message: 'agent billing-bot called billing/delete_invoice: denied',
      status: 'warn',
      evt: { name: 'tools/call', outcome: 'denied' },
      duration: 12_000_000,
    });
  });

  test('a tag cannot be forged by a name', () => {
    const { ddtags } = datadogLogOf({ ...DENIED, environment: 'prod,org:other' }, { nowMs: 0 });
    expect(ddtags).toBe('env:prod_org:other,org:acme');
  });
});

describe('syslog', () => {
  test('whatever an event says, its message is as long as allowed at most, and has the head of RFC 5424', () => {
    const head =
      /^<1(?:0[6-9]|10)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [\x21-\x7e]{1,255} cairn - [\x21-\x7e]{1,32} \[cairn@32473(?: [a-z_]+="(?:[^"\\\]]|\\["\\\]])*")*\] CEF:0\|/;
    fc.assert(
      fc.property(stored, (event) => {
        const message = syslogMessageOf(event, { bytesMax: SYSLOG_BYTES_MIN });
        expect(Buffer.byteLength(message)).toBeLessThanOrEqual(SYSLOG_BYTES_MIN);
        expect(message).toMatch(head);
      }),
    );
  });

  test('the longest texts still fit the shortest bound', () => {
    const long = '漢]"\\=|'.repeat(5_000);
    const texts = Object.fromEntries(
      Object.entries(DENIED).map(([name, value]) => [
        name,
        typeof value === 'string' && !/^(?:event|call|trace|span|parent_event)_id$|_hash$/.test(name)
          ? long
          : value,
      ]),
    );
    const event = {
      ...DENIED,
      ...texts,
      rules_matched: Array(64).fill(long),
      kind: 'tool_call',
    } as StoredEvent;
    expect(Buffer.byteLength(syslogMessageOf(event, { bytesMax: 2_048 }))).toBeLessThanOrEqual(2_048);
  });

  test('a name cannot open a field of its own in the structured data or in CEF', () => {
    const message = syslogMessageOf({
      ...DENIED,
      org_id: 'a" forged="1',
      service: 'x act=allow',
      tool_name: 'a|b=c\\',
    });
    expect(message).toContain('org_id="a\\" forged=\\"1"');
    expect(message).toContain('destinationServiceName=x act\\=allow');
    expect(message).toContain('cs2=a|b\\=c\\\\');
  });
});
