// The hole in the wall of this pure package, in full: what it may use of the platform. None of it does I/O, reads a
// clock or draws randomness.

declare module 'node:crypto' {
  /** One-shot digest. */
  export function hash(algorithm: 'sha256', data: Uint8Array, encoding: 'buffer'): Uint8Array<ArrayBuffer>;
}

declare class TextEncoder {
  encode(text: string): Uint8Array<ArrayBuffer>;
}
declare class TextDecoder {
  constructor(label: 'utf-8', options: { fatal: true });
  decode(bytes: Uint8Array): string;
}

declare module 'avsc' {
  export interface Type {
    toBuffer(value: unknown): Uint8Array;
    fromBuffer(bytes: Uint8Array, resolver?: Resolver, noCheck?: boolean): unknown;
    createResolver(writer: Type): Resolver;
  }
  export type Resolver = object;
  const avsc: {
    Type: {
      forSchema(schema: unknown, options?: { wrapUnions?: 'auto' | 'always' | 'never' | boolean }): Type;
    };
  };
  export default avsc;
}

declare const Buffer: { from(data: ArrayBufferLike, offset: number, length: number): Uint8Array };
