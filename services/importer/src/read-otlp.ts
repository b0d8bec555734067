import { Failure, messageOf } from '@cairn/failure';
import protobuf from 'protobufjs/light.js';
import { OTLP_MESSAGES } from './otlp-messages.ts';

/** What a request carries: spans of traces, or records of logs. */
export type Signal = 'traces' | 'logs';

/** A value of an attribute; maps have no prototype, so that a name such as `__proto__` is a name. */
export type Value = string | number | boolean | null | readonly Value[] | { readonly [name: string]: Value };

/** A span or a log record, in one form whatever it came in. Everything in it is what the sender says. */
export interface Telemetry {
  readonly signal: Signal;
  /** Name of the span, or of the event that the record is. */
  readonly name: string;
  /** 3 is a client's span, 2 a server's; 0 of a log. */
  readonly spanKind: number;
  /** Hex; empty when absent or not of its size. */
  readonly traceId: string;
  readonly spanId: string;
  /** Microseconds since 1970; undefined when there is none. Of a log both are the same. */
  readonly begin: number | undefined;
  readonly end: number | undefined;
  /** 0 unset, 1 ok, 2 error. */
  readonly statusCode: number;
  readonly statusMessage: string;
  readonly attributes: { readonly [name: string]: Value };
  readonly resource: { readonly [name: string]: Value };
  readonly scope: string;
}

const types = protobuf.Root.fromJSON(OTLP_MESSAGES);
const REQUESTS = { traces: types.lookupType('TracesRequest'), logs: types.lookupType('LogsRequest') };
const RESPONSE = types.lookupType('Response');
const STATUS = types.lookupType('RpcStatus');

/** Deepest value of an attribute; what lies deeper is `…`. */
const DEPTH_MAX = 16;

/**
 * The spans or log records of a request body: protobuf, or JSON as OTLP has it (ids in hex, 64-bit numbers as texts or numbers).
 *
 * @throws Failure `import.malformed` when it is no such request.
 */
export function readOtlp(signal: Signal, form: 'protobuf' | 'json', body: Buffer): Telemetry[] {
  try {
    const request =
      form === 'protobuf' ? plain(REQUESTS[signal].decode(body)) : JSON.parse(body.toString('utf8'));
    return signal === 'traces' ? spansOf(request, form) : logsOf(request, form);
  } catch (error) {
    throw malformed(messageOf(error));
  }
}

const plain = (message: protobuf.Message): unknown =>
  message.$type.toObject(message, { longs: String, bytes: Buffer as unknown as typeof String });

/** The answer of an export service: empty when all was taken. */
export function otlpAnswer(
  signal: Signal,
  form: 'protobuf' | 'json',
  rejected: number,
  errorMessage: string,
): Buffer {
  const isPartial = rejected > 0 || errorMessage !== '';
  if (form === 'json') {
    const name = signal === 'traces' ? 'rejectedSpans' : 'rejectedLogRecords';
    const answer = isPartial ? { partialSuccess: { [name]: String(rejected), errorMessage } } : {};
    return Buffer.from(JSON.stringify(answer));
  }
  const answer = isPartial ? { partialSuccess: { rejected, errorMessage } } : {};
  return Buffer.from(RESPONSE.encode(RESPONSE.create(answer)).finish());
}

/** A refusal as OTLP/HTTP has it: google.rpc.Status in the form of the request. */
export function otlpStatus(form: 'protobuf' | 'json', code: number, message: string): Buffer {
  if (form === 'json') return Buffer.from(JSON.stringify({ code, message }));
  return Buffer.from(STATUS.encode(STATUS.create({ code, message })).finish());
}

type Fields = Readonly<Record<string, unknown>>;
type Form = 'protobuf' | 'json';

function spansOf(request: unknown, form: Form): Telemetry[] {
  const spans: Telemetry[] = [];
  for (const group of listOf(request, 'resourceSpans')) {
    const resource = attributesOf(fieldsOf(group['resource'])['attributes']);
    for (const scoped of listOf(group, 'scopeSpans')) {
      const scope = textOf(fieldsOf(scoped['scope'])['name']);
      for (const span of listOf(scoped, 'spans')) {
        const status = fieldsOf(span['status']);
        spans.push({
          signal: 'traces',
          name: textOf(span['name']),
          spanKind: wholeOf(span['kind']),
          traceId: idOf(span['traceId'], 16, form),
          spanId: idOf(span['spanId'], 8, form),
          begin: microsOf(span['startTimeUnixNano']),
          end: microsOf(span['endTimeUnixNano']),
          statusCode: wholeOf(status['code']),
          statusMessage: textOf(status['message']),
          attributes: attributesOf(span['attributes']),
          resource,
          scope,
        });
      }
    }
  }
  return spans;
}

function logsOf(request: unknown, form: Form): Telemetry[] {
  const logs: Telemetry[] = [];
  for (const group of listOf(request, 'resourceLogs')) {
    const resource = attributesOf(fieldsOf(group['resource'])['attributes']);
    for (const scoped of listOf(group, 'scopeLogs')) {
      const scope = textOf(fieldsOf(scoped['scope'])['name']);
      for (const record of listOf(scoped, 'logRecords')) {
        const attributes = attributesOf(record['attributes']);
        const time = microsOf(record['timeUnixNano']) ?? microsOf(record['observedTimeUnixNano']);
        logs.push({
          signal: 'logs',
          name: textOf(record['eventName']) || textOf(attributes['event.name']),
          spanKind: 0,
          traceId: idOf(record['traceId'], 16, form),
          spanId: idOf(record['spanId'], 8, form),
          begin: time,
          end: time,
          // Errors begin at 17 (opentelemetry-proto, SeverityNumber).
          statusCode: wholeOf(record['severityNumber']) >= 17 ? 2 : 0,
          statusMessage: '',
          attributes,
          resource,
          scope,
        });
      }
    }
  }
  return logs;
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

/** @throws TypeError when there is something else than a list of objects. */
function listOf(value: unknown, name: string): Fields[] {
  const fields = fieldsOf(value);
  const list = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) throw new TypeError(`${name} is no list`);
  return list.map(fieldsOf);
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value.toWellFormed() : '');
const wholeOf = (value: unknown): number => (Number.isSafeInteger(value) ? (value as number) : 0);

function idOf(value: unknown, bytes: number, form: Form): string {
  const hex =
    form === 'protobuf'
      ? value instanceof Uint8Array
        ? Buffer.from(value).toString('hex')
        : ''
      : textOf(value).toLowerCase();
  const isId = hex.length === 2 * bytes && /^[0-9a-f]+$/.test(hex) && !/^0+$/.test(hex);
  return isId ? hex : '';
}

function microsOf(nanos: unknown): number | undefined {
  const text = typeof nanos === 'number' ? String(nanos) : textOf(nanos);
  if (!/^\d{1,20}$/.test(text)) return undefined;
  const micros = Number(BigInt(text) / 1_000n);
  return micros === 0 ? undefined : micros;
}

function attributesOf(list: unknown, depth = 0): { readonly [name: string]: Value } {
  const attributes = Object.create(null) as Record<string, Value>;
  if (!Array.isArray(list)) return attributes;
  for (const entry of list.slice(0, 1_000)) {
    const { key, value } = fieldsOf(entry);
    if (typeof key === 'string') attributes[key.toWellFormed()] = anyValueOf(value, depth);
  }
  return attributes;
}

function anyValueOf(any: unknown, depth: number): Value {
  const value = fieldsOf(any);
  if (depth > DEPTH_MAX) return '…';
  if (typeof value['stringValue'] === 'string') return value['stringValue'].toWellFormed();
  if (typeof value['boolValue'] === 'boolean') return value['boolValue'];
  if (value['intValue'] !== undefined) return Number(value['intValue']);
  if (typeof value['doubleValue'] === 'number') return value['doubleValue'];
  if (value['arrayValue'] !== undefined) {
    const { values } = fieldsOf(value['arrayValue']);
    return Array.isArray(values) ? values.map((item) => anyValueOf(item, depth + 1)) : [];
  }
  if (value['kvlistValue'] !== undefined)
    return attributesOf(fieldsOf(value['kvlistValue'])['values'], depth + 1);
  return null;
}

function malformed(why: string): Failure {
  return new Failure({
    code: 'import.malformed',
    retry: 'no',
    message: `the body is no OTLP request: ${why.slice(0, 200)}`,
  });
}
