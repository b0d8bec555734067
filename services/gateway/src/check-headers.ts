import { isObject, type Message, textOf } from './read-message.ts';

/** First protocol version without sessions; versions are dates and compare as texts. */
const MODERN_ERA = '2026-07-28';

export interface ProtocolHeaders {
  readonly version: string | undefined;
  readonly method: string | undefined;
  readonly name: string | undefined;
}

/** The protocol version that a request speaks; empty when it does not say. */
export function versionOf(message: Message, headers: ProtocolHeaders): string {
  const meta = isObject(message.params['_meta']) ? message.params['_meta'] : {};
  const stated = meta['io.modelcontextprotocol/protocolVersion'];
  if (typeof stated === 'string') return stated.slice(0, 32);
  if (message.method === 'initialize') return textOf(message.params['protocolVersion']).slice(0, 32);
  return (headers.version ?? '').slice(0, 32);
}

export const isModern = (version: string): boolean => version >= MODERN_ERA;

/**
 * A header that says something else than the body is refused: whoever routes or filters by the header would let pass what
 * the server then does by the body.
 *
 * @returns what differs, or undefined.
 */
export function headerMismatch(message: Message, headers: ProtocolHeaders): string | undefined {
  if (message.kind === 'response') return undefined;
  if (headers.method !== undefined && headers.method !== message.method)
    return 'Mcp-Method is not the method';
  const named = message.params['name'] ?? message.params['uri'];
  if (headers.name !== undefined && decodedHeader(headers.name) !== named) return 'Mcp-Name is not the name';
  const meta = isObject(message.params['_meta']) ? message.params['_meta'] : {};
  const stated = meta['io.modelcontextprotocol/protocolVersion'];
  if (stated !== undefined && headers.version !== undefined && headers.version !== stated) {
    return 'MCP-Protocol-Version is not the version';
  }
  return undefined;
}

/** Values that a header cannot hold are sent as `=?base64?…?=`. */
function decodedHeader(value: string): string {
  const encoded = /^=\?base64\?([A-Za-z0-9+/=]*)\?=$/.exec(value)?.[1];
  return encoded === undefined ? value : Buffer.from(encoded, 'base64').toString('utf8');
}
