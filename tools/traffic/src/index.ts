export { Random } from './random.ts';
export { type ChainedDatum, type DatumSigner, type StreamsOptions, streamsOf } from './streams.ts';
export { type TrafficEvent, type TrafficOptions, trafficOf } from './traffic.ts';
