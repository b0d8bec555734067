/** Controls, line and paragraph separators, directional marks and what has no width: all that moves, hides or reorders. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** Most texts are of these alone, and are seen to be in a tenth of the time. */
const PLAIN = /^[\x20-\x7e]*$/;

/**
 * Text from agents, tools and servers as a terminal may show it: whatever could move the cursor, hide text or reorder it
 * is written as its code point. (Unicode TR 36 and TR 39 tell why.)
 */
export function visible(text: string): string {
  if (PLAIN.test(text)) return text;
  return text.replaceAll(UNSAFE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\u{${code.toString(16)}}`;
  });
}
