import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Answers } from './kafka-socket.ts';

const never = (): void => {
  throw new Error('refused');
};

test.each([-1, 2 ** 31 - 1])('an answer of %d bytes is refused, and nothing after it is read', (length) => {
  const head = Buffer.alloc(4);
  head.writeInt32BE(length);
  const refused: number[] = [];
  const answers = new Answers(never, (bytes) => refused.push(bytes));
  answers.add(Buffer.concat([head, Buffer.from([0, 0, 0, 1, 7])]));
  answers.add(Buffer.from([0, 0, 0, 1, 7]));
  expect(refused).toEqual([length]);
});

test('a large answer stays as it was given until the second large one after it, whatever comes between', () => {
  const answerOf = (size: number, fill: number): Buffer => {
    const answer = Buffer.alloc(4 + size, fill);
    answer.writeInt32BE(size);
    return answer;
  };
  const large = [1, 2, 3, 4, 5].map((fill) => answerOf(100_000 + fill * 40_000, fill));
  const small = answerOf(500, 9);
  const given: Buffer[] = [];
  const answers = new Answers((answer) => void given.push(answer), never);
  for (const [index, answer] of large.entries()) {
    answers.add(answer);
    answers.add(small);
    expect(given.at(-2)).toEqual(answer);
    if (index > 0) expect(given.at(-4)).toEqual(large[index - 1]);
  }
  for (let index = 1; index < given.length; index += 2) expect(given[index]).toEqual(small);
});

test('answers are given whole and in order, however the connection cuts them', () => {
  const bodies = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
  const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(bodies, cuts, (list, sizes) => {
      const wanted = list.map((body) => {
        const head = Buffer.alloc(4);
        head.writeInt32BE(body.length);
        return Buffer.concat([head, body]);
      });
      const given: Buffer[] = [];
      const answers = new Answers((answer) => void given.push(Buffer.from(answer)), never);
      const sent = Buffer.concat(wanted);
      // One buffer for every read, as the socket has it.
      const read = Buffer.alloc(50);
      for (let at = 0, turn = 0; at < sent.length; turn += 1) {
        const size = Math.min(sizes[turn % sizes.length]!, sent.length - at);
        read.set(sent.subarray(at, at + size));
        answers.add(read.subarray(0, size));
        at += size;
      }
      expect(given).toEqual(wanted);
    }),
  );
});
