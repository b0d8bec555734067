/**
 * One event as one syslog message of RFC 5424, without the frame that a transport puts around it:
 *
 *     <PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID [cairn@PEN …] CEF:0|…
 *
 * MSG is an event of ArcSight's Common Event Format (revision 26), which most receivers of syslog read; structured data carries
 * the coordinates of the proof. Both are one line of printable characters, whatever agents and tools are called.
 */
import { utf8 } from '@cairn/event';
import { present } from './cairn-fields.ts';
import { resultOf, type Severity, sentenceOf, severityOf, timeOf } from './describe-event.ts';
import { type PlainEvent, plainEvent, shortened } from './plain-event.ts';
import type { StoredEvent } from './stored-event.ts';

export interface SyslogOptions {
  /**
   * Private enterprise number of the structured data's name (RFC 5424, section 7.2.2). 32473 is the one for documentation; put your
   * own in its place.
   */
  readonly enterprise?: number | undefined;
  /** Longest message in bytes, at least 2,048; default 8,192, which receivers should take (RFC 5425, section 4.3.1). */
  readonly bytesMax?: number | undefined;
}

/** What every receiver must take (RFC 5425, section 4.3.1). No message is cut below it. */
export const SYSLOG_BYTES_MIN = 2_048;
const SYSLOG_BYTES_USUAL = 8_192;

/** Log audit (RFC 5424, table 1). */
const FACILITY = 13;
const SEVERITIES: Readonly<Record<Severity, number>> = { 1: 6, 2: 5, 3: 4, 4: 3, 5: 2 };
/** CEF counts from 0 to 10. */
const CEF_SEVERITIES: Readonly<Record<Severity, number>> = { 1: 2, 2: 4, 3: 7, 4: 8, 5: 10 };

/**
 * The message of an event, at most `bytesMax` bytes of UTF-8. Where values are too long for that, all are cut to the same length,
 * and the structured data says so with `cut="1"`.
 *
 * @throws RangeError when `bytesMax` is below 2,048.
 */
export function syslogMessageOf(stored: StoredEvent, options: SyslogOptions = {}): string {
  const { bytesMax = SYSLOG_BYTES_USUAL, enterprise = 32_473 } = options;
  if (bytesMax < SYSLOG_BYTES_MIN) throw new RangeError(`syslog messages need ${SYSLOG_BYTES_MIN} bytes`);
  const plain = plainEvent(stored);
  // With the shortest values the message fits whatever the event holds: see the property test.
  for (let most = VALUE_MAX; ; most = Math.floor(most / 2)) {
    const message = messageOf(plain, enterprise, most);
    if (most <= VALUE_MIN || utf8(message).length <= bytesMax) return message;
  }
}

/** Longest value in UTF-16 units: 1,023 is what CEF allows most of its fields. */
const VALUE_MAX = 1_023;
const VALUE_MIN = 15;

function messageOf(plain: PlainEvent, enterprise: number, most: number): string {
  const { event } = plain;
  const severity = severityOf(plain);
  let isCut = plain.cut.length > 0;
  const short = (text: string): string => {
    if (text.length <= most) return text;
    isCut = true;
    return shortened(text, most);
  };
  const cef = cefOf(plain, short);
  const data = structuredData(event, enterprise, short, () => isCut);
  const priority = FACILITY * 8 + SEVERITIES[severity];
  const host = headerWord(event.gateway_id, 255);
  return `<${priority}>1 ${timeOf(event.timestamp)} ${host} cairn - ${headerWord(event.kind, 32)} ${data} ${cef}`;
}

/** HOSTNAME and MSGID are printable ASCII without a space; an empty one is `-`. */
const headerWord = (text: string, most: number): string =>
  text.replaceAll(/[^\x21-\x7e]/g, '?').slice(0, most) || '-';

function structuredData(
  event: StoredEvent,
  enterprise: number,
  short: (text: string) => string,
  isCut: () => boolean,
): string {
  const facts = present({
    event_id: event.event_id,
    org_id: short(event.org_id),
    phase: short(event.phase),
    topic: short(event.topic),
    partition: event.partition,
    offset: event.offset,
    leaf_hash: event.leaf_hash,
    leaf_index: event.leaf_index,
    epoch: event.epoch,
    seq: event.seq,
    trace_id: event.trace_id,
  });
  const cut = isCut() ? ' cut="1"' : '';
  const parameters = Object.entries(facts).map(
    ([name, value]) => ` ${name}="${escapedParam(String(value))}"`,
  );
  return `[cairn@${enterprise}${parameters.join('')}${cut}]`;
}

/** RFC 5424, section 6.3.3. */
const escapedParam = (text: string): string => text.replaceAll(/["\\\]]/g, '\\$&');

/** CEF, "Header Field Definitions" and "Character Encoding". */
function cefOf(plain: PlainEvent, short: (text: string) => string): string {
  const { event, alert } = plain;
  const class_ = event.decision === 'deny' ? `${event.kind}.deny` : `${event.kind}.${event.phase}`;
  const head = ['Cairn', 'Cairn', event.gateway_version, class_, sentenceOf(plain)]
    .map((text) => escapedHead(short(text)))
    .join('|');
  const rules = alert === undefined ? event.rules_matched.join(',') : alert.rule;
  const extension = present({
    rt: Math.floor(event.timestamp / 1_000),
    externalId: event.event_id,
    act: event.decision === 'unknown' ? '' : event.decision,
    outcome: resultOf(event),
    dvchost: event.gateway_id,
    suser: event.user_id,
    request: event.method,
    destinationServiceName: event.service,
    reason: event.error_message || event.error_code,
    ...labelled('cs1', 'agent_id', event.agent_id),
    ...labelled('cs2', 'tool_name', event.tool_name),
    ...labelled('cs3', 'session_id', event.session_id),
    ...labelled('cs4', 'rules_matched', rules),
    ...labelled('cs5', 'leaf_hash', event.leaf_hash),
    ...labelled('cs6', 'call_id', event.call_id),
    ...labelled('cn1', 'seq', event.seq),
    ...labelled('cn2', 'latency_ms', event.latency_ms),
  });
  const pairs = Object.entries(extension).map(([name, value]) => {
    // Hashes and ids keep their length: half of one finds nothing.
    const text = String(value);
    return `${name}=${escapedValue(WHOLE.has(name) ? text : short(text))}`;
  });
  return `CEF:0|${head}|${CEF_SEVERITIES[severityOf(plain)]}|${pairs.join(' ')}`;
}

const WHOLE: ReadonlySet<string> = new Set(['rt', 'externalId', 'cs5', 'cs6', 'cn1', 'cn2']);

const labelled = (key: string, label: string, value: unknown): Record<string, unknown> =>
  value === '' || value === null ? {} : { [`${key}Label`]: label, [key]: value };

const escapedHead = (text: string): string => text.replaceAll(/[\\|]/g, '\\$&');
const escapedValue = (text: string): string => text.replaceAll(/[\\=]/g, '\\$&');
