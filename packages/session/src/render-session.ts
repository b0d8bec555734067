import type { Session, SessionStep } from './reconstruct-session.ts';
import { visible } from './visible.ts';

export interface RenderOptions {
  /** Columns of the terminal. */
  readonly width: number;
  readonly color: boolean;
}

/** A session for a person at a terminal: who, then every step with its decision beside its outcome, then what is wrong. */
export function renderSession(session: Session, { width, color }: RenderOptions): string {
  const paint = color ? painted : (_: Colour, text: string) => text;
  const lines = [
    `${paint('bold', `Session ${visible(session.session_id)}`)}  ${paint('dim', SOURCES[session.session_source] ?? '')}`,
    `  agent   ${agentOf(session)}`,
    `  client  ${clientOf(session)}`,
    `  when    ${timeOf(session.first, true)} to ${timeOf(session.last)} UTC, through ${session.gateways.map(visible).join(', ')}`,
    `  calls   ${totalsOf(session)}`,
    '',
    paint('dim', row(width, ['', 'time', 'what', 'action', 'decision', 'outcome', 'latency'])),
  ];
  session.steps.forEach((step, index) => {
    const cells = [
      String(index + 1),
      timeOf(step.timestamp),
      whatOf(step),
      step.action === 'unknown' ? '' : step.action,
      decisionOf(step),
      outcomeOf(step),
      step.latency_ms === null ? '' : `${step.latency_ms} ms`,
    ];
    lines.push(paint(colourOf(step), row(width, cells)));
    for (const remark of remarksOf(step)) {
      lines.push(
        ...wrapped(remark, width - REMARK_INDENT).map((line) =>
          paint('dim', ' '.repeat(REMARK_INDENT) + line),
        ),
      );
    }
  });
  if (session.findings.length > 0) lines.push('', paint('red', 'Findings'));
  for (const { finding, event_id } of session.findings) {
    lines.push(paint('red', `  ${FINDINGS[finding]} (event ${visible(event_id)})`));
  }
  return lines.join('\n');
}

const SOURCES: Readonly<Record<string, string>> = {
  asserted: 'as the agent asserts',
  baggage: 'from the baggage of its requests',
  trace: 'from the trace of its requests',
  transport: 'from the MCP session; it may span chats',
  derived: 'derived: same caller, no pause of 30 minutes',
};

const FINDINGS = {
  'decision-without-outcome': 'A call was allowed and no outcome was recorded',
  'outcome-without-decision': 'An outcome was recorded and no decision',
  'event-twice': 'An event stands twice in the table',
} as const;

type Colour = 'bold' | 'dim' | 'red' | 'yellow' | 'plain';

const CODES: Readonly<Record<Colour, string>> = { bold: '1', dim: '2', red: '31', yellow: '33', plain: '' };

function painted(colour: Colour, text: string): string {
  return CODES[colour] === '' ? text : `\u001b[${CODES[colour]}m${text}\u001b[0m`;
}

function agentOf(session: Session): string {
  const version = session.agent_version === '' ? '' : ` ${session.agent_version}`;
  const user = session.user_id === '' ? 'for nobody in particular' : `for user ${session.user_id}`;
  const how =
    session.auth_method === '' || session.auth_method === 'none'
      ? 'no credential'
      : `${session.auth_method} credential`;
  return visible(`${session.agent_id}${version} of ${session.org_id}, ${user}, ${how}`);
}

function clientOf(session: Session): string {
  const name =
    session.client_name === '' ? 'unnamed' : `${session.client_name} ${session.client_version}`.trim();
  return visible(`${name} (as it says of itself), MCP ${session.protocol_versions.join(', ')}`);
}

function totalsOf({ steps }: Session): string {
  const calls = steps.filter(({ decision }) => decision !== 'not_evaluated');
  const counts = new Map<string, number>();
  for (const step of calls) counts.set(step.result_status, (counts.get(step.result_status) ?? 0) + 1);
  const parts = [...counts].map(([status, count]) => `${count} ${STATUSES[status] ?? status}`);
  const found = steps.flatMap(({ redactions }) => redactions).reduce((sum, { count }) => sum + count, 0);
  const kept = found === 0 ? '' : `; ${found} secrets and personal values seen, none kept`;
  return `${calls.length}: ${parts.join(', ') || 'none'}${kept}`;
}

const STATUSES: Readonly<Record<string, string>> = {
  success: 'succeeded',
  failure: 'failed',
  denied: 'denied',
  timeout: 'timed out',
  cancelled: 'cancelled',
  pending: 'interrupted',
  unknown: 'without outcome',
};

function whatOf(step: SessionStep): string {
  const name = step.tool_name === '' ? step.method : step.tool_name;
  const again = step.attempt > 1 ? ` (attempt ${step.attempt})` : '';
  return visible(`${step.service}/${name}${again}`);
}

function decisionOf({ decision, enforcement }: SessionStep): string {
  if (decision === 'not_evaluated' || decision === 'unknown') return '·';
  return enforcement === 'monitor' && decision === 'deny' ? 'deny (monitor)' : decision;
}

function outcomeOf(step: SessionStep): string {
  return step.result_status === 'unknown' ? 'no outcome' : step.result_status;
}

function colourOf({ result_status }: SessionStep): Colour {
  if (result_status === 'denied' || result_status === 'unknown') return 'red';
  return result_status === 'success' || result_status === 'pending' ? 'plain' : 'yellow';
}

/** What a reader asks next: which rule, what went wrong, what was seen and not kept, what was kept. */
function remarksOf(step: SessionStep): string[] {
  const remarks: string[] = [];
  if (step.decision !== 'not_evaluated' && step.rules_matched.length > 0) {
    remarks.push(`rule: ${step.rules_matched.join(', ')}`);
  }
  if (step.decision === 'deny' && step.rules_matched.length === 0) remarks.push('rule: none allows it');
  if (step.policy_errors.length > 0) remarks.push(`policy errors: ${step.policy_errors.join('; ')}`);
  if (step.error_message !== '') remarks.push(`error ${step.error_code}: ${step.error_message}`);
  else if (step.error_code !== '' && step.result_status !== 'denied')
    remarks.push(`error ${step.error_code}`);
  if (step.redactions.length > 0) {
    remarks.push(
      `redacted: ${step.redactions.map(({ rule, count }) => (count > 1 ? `${rule} ×${count}` : rule)).join(', ')}`,
    );
  }
  if (step.parameters_kept.length > 0) {
    remarks.push(`kept: ${step.parameters_kept.map(({ name, value }) => `${name}=${value}`).join(', ')}`);
  }
  if (step.parameters_tokens.length > 0) {
    remarks.push(`tokens: ${step.parameters_tokens.map(({ name, token }) => `${name}=${token}`).join(', ')}`);
  }
  if (step.data_classes.length > 0 || !['unknown', 'public', ''].includes(step.sensitivity)) {
    const classes = step.data_classes.length > 0 ? ` (${step.data_classes.join(', ')})` : '';
    remarks.push(`data: ${step.sensitivity}${classes}`);
  }
  return remarks.map(visible);
}

const WIDTHS = [3, 12, 0, 11, 14, 10, 9];
const REMARK_INDENT = 19;

/** Cells in columns; the third takes what is left, and numbers stand right. */
function row(width: number, cells: readonly string[]): string {
  const fixed = WIDTHS.reduce((sum, column) => sum + column, 0) + 2 * (WIDTHS.length - 1);
  const free = Math.max(20, width - fixed);
  return cells
    .map((cell, index) => {
      const size = WIDTHS[index] === 0 ? free : (WIDTHS[index] ?? 0);
      const cut = cell.length > size ? `${cell.slice(0, size - 1).replace(/[\ud800-\udbff]$/, '')}…` : cell;
      return index === 0 || index === cells.length - 1 ? cut.padStart(size) : cut.padEnd(size);
    })
    .join('  ')
    .trimEnd();
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = `  ${word}`;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines.slice(0, 4);
}

/** Microseconds as a time of day, with the day before it when wanted. */
function timeOf(micros: number, withDay = false): string {
  const iso = new Date(micros / 1_000).toISOString();
  return withDay ? iso.slice(0, 23).replace('T', ' ') : iso.slice(11, 23);
}
