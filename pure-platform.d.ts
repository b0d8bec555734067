// The hole in the wall of the pure packages, in full: what they may use of the platform. None of it does I/O, reads a
// clock or draws randomness. tsconfig.pure.json lets this file in, and no other types of Node or of the DOM.

declare module 'node:crypto' {
  export interface KeyObject {
    readonly type: 'secret' | 'public' | 'private';
    readonly asymmetricKeyType?: string;
    export(options: { readonly format: 'der'; readonly type: 'spki' }): Uint8Array<ArrayBuffer>;
  }
  /** One-shot digest. */
  export function hash(algorithm: 'sha256', data: Uint8Array, encoding: 'buffer'): Uint8Array<ArrayBuffer>;
  export function hash(
    algorithm: 'sha256',
    data: Uint8Array,
    options: { readonly outputEncoding: 'latin1'; readonly outputLength: 32 },
  ): string;
  /** Ed25519. */
  export function sign(algorithm: null, data: Uint8Array, key: KeyObject): Uint8Array<ArrayBuffer>;
  /** Ed25519. */
  export function verify(algorithm: null, data: Uint8Array, key: KeyObject, signature: Uint8Array): boolean;
  export function createPublicKey(key: {
    readonly key: { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string };
    readonly format: 'jwk';
  }): KeyObject;
  export function createPublicKey(privateKey: KeyObject): KeyObject;
}

declare module 'node:zlib' {
  /** Zstandard (RFC 8878); parameters by their number in `constants`. */
  export function zstdCompressSync(
    data: Uint8Array,
    options: {
      readonly params: Readonly<Record<number, number>>;
      /** Written into the frame's head. */
      readonly pledgedSrcSize: number;
      readonly chunkSize: number;
    },
  ): Uint8Array<ArrayBuffer>;
  /** @throws an error when the data is no frame, or its content is longer than `maxOutputLength`. */
  export function zstdDecompressSync(
    data: Uint8Array,
    options: { readonly maxOutputLength: number; readonly chunkSize: number },
  ): Uint8Array<ArrayBuffer>;
  export const constants: {
    readonly ZSTD_c_compressionLevel: number;
    readonly ZSTD_c_windowLog: number;
    readonly ZSTD_c_hashLog: number;
    readonly ZSTD_c_minMatch: number;
    readonly ZSTD_c_targetLength: number;
    readonly ZSTD_c_strategy: number;
    readonly ZSTD_fast: number;
  };
}

declare class TextEncoder {
  encode(text: string): Uint8Array<ArrayBuffer>;
}

declare class TextDecoder {
  constructor(label: 'utf-8', options: { fatal: true; ignoreBOM: true });
  decode(bytes: Uint8Array): string;
}

declare const Buffer: {
  /** A Buffer over the same bytes; avsc takes nothing else. */
  from(data: ArrayBuffer, offset: number, length: number): Uint8Array<ArrayBuffer>;
  from(data: ArrayBufferLike, offset: number, length: number): Uint8Array;
};
