/**
 * Work that is gathered during one turn of the event loop and done once at its end: after all sockets that were ready
 * have been read, before the loop waits again. Nothing is held longer than that, and one write takes the place of many.
 */
export interface TurnTask {
  endOfTurn(): void;
}

let due: TurnTask[] = [];

/** Each task is called once for each time that it was given; give it once a turn. */
export function atEndOfTurn(task: TurnTask): void {
  if (due.length === 0) setImmediate(run);
  due.push(task);
}

function run(): void {
  const tasks = due;
  due = [];
  for (const task of tasks) task.endOfTurn();
}
