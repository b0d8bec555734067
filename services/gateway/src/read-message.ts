/** A JSON-RPC message of MCP, read from a copy of its bytes. */
export interface Message {
  readonly kind: 'request' | 'notification' | 'response';
  readonly id: string | number | undefined;
  /** Empty for a response. */
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly result: unknown;
  readonly error: { readonly code: number; readonly message: string } | undefined;
}

export type ReadMessage =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly why: string };

const DEPTH_MAX = 64;

/**
 * Reads one message, strictly: what two parsers could read differently is refused, because the policy would decide on one
 * reading and the server act on the other. So no name twice in an object, no batches, no unpaired surrogates in names, and no
 * name that is one of the protocol's but for the case of its letters.
 */
export function readMessage(text: string): ReadMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, why: 'the body is not JSON' };
  }
  const ambiguity = ambiguityOf(text);
  if (ambiguity) return { ok: false, why: ambiguity };
  if (Array.isArray(value)) return { ok: false, why: 'batches are not part of MCP: send one message' };
  if (!isObject(value) || value['jsonrpc'] !== '2.0') return { ok: false, why: 'not a JSON-RPC 2.0 message' };
  const { id, method, params, result, error } = value;
  if (hasNearly(value, MESSAGE_NAMES) || (isObject(params) && hasNearly(params, PARAMS_NAMES)))
    return { ok: false, why: 'a name differs from one of the protocol in case alone' };
  if (id !== undefined && typeof id !== 'string' && typeof id !== 'number') {
    return { ok: false, why: 'an id is a string or a number' };
  }
  if (params !== undefined && !isObject(params)) return { ok: false, why: 'params is an object' };
  if (method === undefined) {
    if (id === undefined || (result === undefined && error === undefined)) {
      return { ok: false, why: 'neither a request nor a response' };
    }
    return {
      ok: true,
      message: { kind: 'response', id, method: '', params: {}, result, error: errorOf(error) },
    };
  }
  if (typeof method !== 'string' || method === '' || method.length > 128) {
    return { ok: false, why: 'method is a string of 1 to 128 characters' };
  }
  const kind = id === undefined ? 'notification' : 'request';
  // Servers that look at the method alone would act on a request whose answer nobody wants, and nothing would be recorded.
  if (kind === 'notification' && !method.startsWith('notifications/'))
    return { ok: false, why: 'a request has an id' };
  return {
    ok: true,
    message: { kind, id, method, params: params ?? {}, result: undefined, error: undefined },
  };
}

/** A message of the server, read leniently: whatever it is, it passes. Undefined when it is no message. */
export function readServerMessage(text: string): Message | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const { id, method, params, result, error } = value;
  const known = typeof id === 'string' || typeof id === 'number' ? id : undefined;
  return {
    kind: typeof method !== 'string' ? 'response' : known === undefined ? 'notification' : 'request',
    id: known,
    method: typeof method === 'string' ? method : '',
    params: isObject(params) ? params : {},
    result,
    error: errorOf(error),
  };
}

/** Several messages as one, which MCP does not know: what reads single messages would take no notice of any of them. */
export const isBatch = (text: string): boolean => /^\s*\[/.test(text);

/** A text that a peer sent, or nothing: what is no text may not even be made one (`{"toString":1}`). */
export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function errorOf(error: unknown): Message['error'] {
  if (!isObject(error)) return undefined;
  const { code, message } = error;
  return { code: typeof code === 'number' ? code : 0, message: textOf(message) };
}

/** Names by which a server is told what to do, or by which we say what it was told; by their folded form. */
const MESSAGE_NAMES = foldedNames('jsonrpc', 'id', 'method', 'params', 'result', 'error');
const PARAMS_NAMES = foldedNames('name', 'arguments', 'uri', '_meta', 'requestId', 'requestState');

function foldedNames(...names: readonly string[]): ReadonlyMap<string, string> {
  return new Map(names.map((name) => [folded(name), name]));
}

/** Go's encoding/json reads names so when it finds no exact one: `METHOD` and `param\u017f` are `method` and `params` to it. */
function folded(name: string): string {
  return name.toUpperCase().toLowerCase();
}

function hasNearly(value: object, names: ReadonlyMap<string, string>): boolean {
  return Object.keys(value).some((name) => (names.get(folded(name)) ?? name) !== name);
}

const QUOTE = 0x22;
const COLON = 0x3a;
const BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const BRACKET_END = 0x5d;
const BRACE = 0x7b;
const BRACE_END = 0x7d;

/** One pass over JSON that is known to parse: a name that stands twice in one object, or too much depth. */
function ambiguityOf(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charCodeAt(at);
    if (character === BRACE || character === BRACKET) {
      if (open.length >= DEPTH_MAX) return `more than ${DEPTH_MAX} levels deep`;
      open.push(character === BRACE ? new Set() : undefined);
    } else if (character === BRACE_END || character === BRACKET_END) {
      open.pop();
    } else if (character === QUOTE) {
      const end = endOfString(text, at);
      const names = open.at(-1);
      if (names && isName(text, end)) {
        const name = nameOf(text, at, end);
        if (!name.isWellFormed()) return 'a name is not well-formed Unicode';
        if (names.has(name)) return 'a name stands twice in one object';
        names.add(name);
      }
      at = end;
    }
  }
  return undefined;
}

/** The first quote behind the start that an even number of backslashes stands before. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let before = end;
    while (text.charCodeAt(before - 1) === BACKSLASH) before -= 1;
    if ((end - before) % 2 === 0) return end;
  }
}

/** Names that are written differently and mean the same, such as `a` and `\u0061`, are one. */
function nameOf(text: string, start: number, end: number): string {
  const written = text.slice(start + 1, end);
  return written.includes('\\') ? (JSON.parse(`"${written}"`) as string) : written;
}

/** A string is a name when a colon follows it. */
function isName(text: string, end: number): boolean {
  let at = end + 1;
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at += 1;
  return text.charCodeAt(at) === COLON;
}
