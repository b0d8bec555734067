import { type RuleEvent, type RuleSet, readRules, ruleMistakeText } from '../index.ts';

export const SECOND = 1_000_000;

/** An event at so many seconds. */
export function eventAt(second: number, fields: RuleEvent = {}): RuleEvent {
  const id = new Uint8Array(16);
  new DataView(id.buffer).setUint32(12, second);
  return { event_id: id, org_id: 'acme', kind: 'tool_call', timestamp: second * SECOND, ...fields };
}

/** Rules of a text without mistakes. */
export function rulesOf(text: string, placeholders?: ReadonlyMap<string, readonly string[]>): RuleSet {
  const { rules, mistakes } = readRules([{ file: 'r.yml', text }], {
    exact: true,
    ...(placeholders === undefined ? {} : { placeholders }),
  });
  if (mistakes.length > 0) throw new Error(mistakes.map(ruleMistakeText).join('; '));
  return rules;
}

/** A rule with this detection, as text. */
export function detectionText(detection: string, more = ''): string {
  return `title: T\nid: t\nlogsource: {product: cairn}\n${more}detection: ${detection}\n`;
}

/** Whether a rule of one selection and this line holds for an event. */
export function holds(line: string, event: RuleEvent): boolean {
  const [detection] = rulesOf(detectionText(`{s: {${line}}, condition: s}`)).detections;
  return detection?.matches(event) === true;
}
