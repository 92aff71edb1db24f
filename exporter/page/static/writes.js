// Who writes: the sources of accepted records, each with its column of the history and the name of its colour.

export const SOURCES = [
  { label: "User commands", column: "acceptedUserCommandPerSecond", colour: "user-command" },
  { label: "Processing results", column: "acceptedProcessingResultPerSecond", colour: "processing-result" },
  { label: "Inter-partition", column: "acceptedInterPartitionPerSecond", colour: "inter-partition" },
  { label: "Scheduled", column: "acceptedScheduledPerSecond", colour: "scheduled" },
  { label: "Internal", column: "acceptedInternalPerSecond", colour: "internal" },
];

/** Those that wrote anything in the time that the columns tell of. */
export const writersIn = (columns) => SOURCES.filter(({ column }) => columns[column]?.some((value) => value > 0));
