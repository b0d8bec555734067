/** The buffer that was looked into last, and a view of it: datums come by thousands from one. */
let lastBuffer: ArrayBufferLike = new ArrayBuffer(0);
let lastView: DataView<ArrayBufferLike> = new DataView(lastBuffer);

/** A view of the whole buffer in which the bytes lie. */
export function viewOf({ buffer }: Uint8Array): DataView {
  if (buffer !== lastBuffer) {
    lastView = new DataView(buffer);
    lastBuffer = buffer;
  }
  return lastView;
}
