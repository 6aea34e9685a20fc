// Stays with a question while it is answered: brings it into sight, and frees the input should it stay locked.
//
// Streamlit follows a growing page only while it believes to be at its end, and loses that belief when an answer changes
// its height in the middle of a scroll: all later answers come out of sight. And it unlocks the chat input only when it
// draws between the end of the answer's run and that of the next fragment's: a busy browser hears of both at once.
const PASSES = 10
const EVERY_MS = 150
const LOOK_EVERY_MS = 500
const LOOKS = 4
const BY_HAND = ["wheel", "touchmove", "pointerdown"]
let last

export default function (component) {
  const { data, setTriggerValue } = component
  if (!data) return undefined
  const stop = data.question === last ? () => {} : scroll()
  last = data.question
  let locked = 0
  const watch = setInterval(() => {
    locked = isLocked() ? locked + 1 : 0
    // A whole run more, and its end is heard of.
    if (locked === LOOKS) setTriggerValue("locked", data.question)
  }, LOOK_EVERY_MS)
  return () => {
    stop()
    clearInterval(watch)
  }
}

function isLocked() {
  const app = document.querySelector('[data-testid="stApp"]')
  const idle = app?.getAttribute("data-test-script-state") === "notRunning"
  return idle && document.querySelector('[data-testid="stChatInputStopButton"]') !== null
}

function scroll() {
  const page = document.querySelector('[data-testid="stAppScrollToBottomContainer"]')
  if (!page) return () => {}
  let left = PASSES
  const stop = () => {
    left = 0
    for (const kind of BY_HAND) page.removeEventListener(kind, stop)
  }
  const pass = () => {
    if (left-- <= 0) return stop()
    page.scrollTop = page.scrollHeight
    // Streamlit looks where the page is when it hears of a scroll, also where there is nothing to move.
    page.dispatchEvent(new Event("scroll"))
    setTimeout(pass, EVERY_MS)
  }
  // Whoever scrolls meanwhile wants to read something else.
  for (const kind of BY_HAND) page.addEventListener(kind, stop, { passive: true })
  pass()
  return stop
}
