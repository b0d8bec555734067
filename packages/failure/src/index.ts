export { editDistance } from './edit-distance.ts';
export * from './failure.ts';
export { TextMistake, type TextMistakeFacts } from './text-mistake.ts';
