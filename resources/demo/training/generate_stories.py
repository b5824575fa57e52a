#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Deterministic generator of the short stories the demo models are trained on.

Every story is built around a few facts (who owns what, where something was
hidden, what somebody asked for, the words of a song or a password) that are
stated once and needed again later, so a language model has to look back.

    generate_stories.py --split train --megabytes 48 --out stories.txt
    generate_stories.py --split calibration --out ../text/calibration.txt
    generate_stories.py --split heldout --out ../text/heldout.txt

Paragraphs are separated by a newline, stories by a blank line.  Story number n
of a split is a pure function of (split, n); the splits use disjoint seeds and
a story already seen in the same run is skipped.
"""
import argparse
import random

GIRLS = "Mira Lena Anna Ruth Clara Ida Nora Vera Rosa Greta Helen Julia Sofia Dora Hazel Iris".split()
BOYS = "Tom Ben Oscar Felix Hugo Peter Simon Jonas Karl Otto Victor Daniel Max Leo Martin Theo".split()
ADJ = ("silver golden red blue green wooden tiny old broken shiny white black yellow painted "
       "copper glass heavy brown striped round").split()
OBJ = ("key lamp bell kite drum book coin ring box cup flute button feather map ball basket "
       "whistle clock spoon mirror hat scarf knife bottle letter").split()
HIDE = ["under the old bridge", "behind the stone wall", "inside the hollow tree", "under the stairs",
        "in the kitchen drawer", "beneath the apple tree", "behind the bakery", "in the tall grass",
        "under a flat rock", "in the boat shed", "behind the church door", "on top of the cupboard",
        "inside an empty barrel", "under the garden bench", "in the bird house", "between two rose bushes",
        "at the bottom of the well", "inside the big clay pot", "under the straw in the barn",
        "on the window sill", "in the mill", "behind the blue gate", "under the doormat", "in the cave by the sea"]
PLACES = ["village", "town", "sleepy town", "lonely village", "market town", "fishing village", "mountain village"]
WHERE = ["at the edge of the forest", "near the sea", "beside a wide river", "at the foot of the mountain",
         "in a quiet valley", "on a green hill", "by the lake", "not far from the harbor", "behind the old mill"]
ANIMALS = "dog cat goat pony duck goose rabbit hen donkey parrot lamb fox".split()
ANIMAL_NAMES = "Biscuit Pepper Button Clover Shadow Ginger Pebble Acorn Misty Plum Thistle Bramble".split()
COLORS = "brown black white gray red spotted yellow striped".split()
MARKS = ["a white tail", "one torn ear", "a crooked leg", "very long ears", "a star on its head",
         "a bell around its neck", "two white feet", "green eyes", "a red ribbon on its neck"]
FOOD = ["bread", "milk", "cheese", "honey", "eggs", "apples", "butter", "salt", "flour", "onions", "pears",
        "carrots", "nuts", "fish", "tea", "soap", "candles", "thread", "rope", "nails"]
PLANTS = "beans roses pumpkins carrots sunflowers onions tulips cabbages strawberries peas lilies potatoes".split()
SPOTS = ["by the gate", "along the fence", "near the well", "behind the house", "next to the path",
         "under the window", "beside the pond", "in the corner by the wall"]
PASSWORDS = ("sunflower thunder apple river lantern winter seven sparrow pepper moonlight hammer ocean "
             "marble cherry castle whisper").split()
SONGS = [("Row the boat and ring the bell,", "tell the fish that all is well."),
         ("Over the hill and down the lane,", "sun will follow after rain."),
         ("Little bird, come sing to me,", "sing of the stars and sing of the sea."),
         ("Light the lamp and close the door,", "the wind will not come anymore."),
         ("One for the moon and two for the sun,", "home we go when the day is done."),
         ("Turn the wheel and grind the grain,", "bake the bread and start again."),
         ("Sleep, my lamb, the night is long,", "the owl will keep you with a song."),
         ("Snow on the roof and frost on the hay,", "winter will sleep and spring will stay.")]
MESSAGES = ["the ship will come on Friday", "the bridge is closed", "the feast begins at noon", "the bear has left the forest",
            "we need more wood for the fire", "the doctor is on the way", "the king is coming tomorrow",
            "the baby was born last night", "the water is rising fast", "the bread is ready",
            "the old road is safe again", "the wolves have come down from the hills", "the bell will ring three times",
            "grandfather is feeling better"]
DIRS = ["cross the bridge", "walk past the mill", "turn left at the big oak", "follow the river", "climb the hill",
        "turn right at the well", "go through the red gate", "count ten steps from the wall", "walk along the beach",
        "pass the white house"]
PAST = {"cross the bridge": "crossed the bridge", "walk past the mill": "walked past the mill",
        "turn left at the big oak": "turned left at the big oak", "follow the river": "followed the river",
        "climb the hill": "climbed the hill", "turn right at the well": "turned right at the well",
        "go through the red gate": "went through the red gate", "count ten steps from the wall": "counted ten steps from the wall",
        "walk along the beach": "walked along the beach", "pass the white house": "passed the white house"}
JOBS = ["baker", "miller", "fisherman", "teacher", "farmer", "carpenter", "doctor", "tailor", "gardener", "shepherd",
        "sailor", "blacksmith"]
ELDERS = [("the old woman", "she", "her", "her"), ("the old man", "he", "him", "his"),
          ("the queen", "she", "her", "her"), ("the king", "he", "him", "his"),
          ("the giant", "he", "him", "his"), ("the witch", "she", "her", "her")]
KIN = [("grandmother", "she", "her"), ("grandfather", "he", "his"), ("mother", "she", "her"), ("father", "he", "his"),
       ("aunt", "she", "her"), ("uncle", "he", "his")]
TIMES = ["morning", "afternoon", "evening", "summer day", "winter morning", "spring day", "autumn evening", "rainy day"]
FEEL_GOOD = ["happy", "glad", "proud", "pleased", "cheerful"]
FEEL_BAD = ["sad", "worried", "upset", "afraid", "unhappy"]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
NUM = "two three four five six seven eight nine".split()


def an(s):
    return ("an " if s[0] in "aeiou" else "a ") + s


def cap(s):
    return s[0].upper() + s[1:]


def join(items):
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


class Person:
    def __init__(self, name, girl):
        self.n = name
        self.he, self.him, self.his = ("she", "her", "her") if girl else ("he", "him", "his")
        self.child = "girl" if girl else "boy"
        self.sib = "sister" if girl else "brother"
        self.He, self.His = cap(self.he), cap(self.his)

    def __str__(self):
        return self.n


class Story:
    def __init__(self, rng):
        self.r = rng
        self.paras = []
        self.asked = False
        self.facts = []  # (question, answer sentence without final stop)
        pool = [(n, True) for n in GIRLS] + [(n, False) for n in BOYS]
        self.people = [Person(*p) for p in rng.sample(pool, 4)]
        self.place = self.c(PLACES)
        self.objs = [f"{a} {o}" for a, o in zip(rng.sample(ADJ, 4), rng.sample(OBJ, 4))]
        self.hides = rng.sample(HIDE, 4)

    def c(self, *opts):
        seq = opts[0] if len(opts) == 1 and not isinstance(opts[0], str) else opts
        return self.r.choice(seq)

    def some(self, p=0.5):
        return self.r.random() < p

    def p(self, *sentences):
        text = " ".join(s for s in sentences if s)
        if text:
            self.paras.append(text)
        self.asked = False

    def fact(self, q, a):
        self.facts.append((q, a))

    # -- speech ------------------------------------------------------------
    def say(self, who, text, verb=None):
        """A statement spoken by somebody: text without its final stop."""
        who = who.n if isinstance(who, Person) else who
        after_question, self.asked = self.asked, False
        v = verb or (self.c("said", "said", "said", "answered", "answered", "replied") if after_question
                     else self.c("said", "said", "said", "said", "whispered", "called"))
        text = cap(text)
        if who in ("he", "she"):
            return self.c(f'"{text}," {who} {v}.', f'{cap(who)} {v}, "{text}."')
        return self.c(f'"{text}," {v} {who}.', f'"{text}," {v} {who}.', f'{cap(who)} {v}, "{text}."')

    def ask(self, who, text):
        who = who.n if isinstance(who, Person) else who
        self.asked = True
        if who in ("he", "she"):
            return self.c(f'"{cap(text)}?" {who} asked.', f'{cap(who)} asked, "{cap(text)}?"')
        return self.c(f'"{cap(text)}?" asked {who}.', f'"{cap(text)}?" asked {who}.', f'{cap(who)} asked, "{cap(text)}?"')

    def shout(self, who, text):
        return f'"{cap(text)}!" {self.c("cried", "shouted", "called", "laughed")} {who}.'

    # -- shared passages -----------------------------------------------------
    def opening(self, a, b=None):
        c = self.c
        w = c(WHERE)
        one = c(f"Once upon a time there was a {c('little', 'clever', 'kind', 'brave', 'quiet', 'curious')} {a.child} named {a} who lived in a {self.place} {w}.",
                f"In a {c('quiet', 'busy', 'lovely')} {self.place} {w} lived a {a.child} called {a}.",
                f"{a} was a {c('clever', 'brave', 'curious', 'gentle', 'cheerful')} {a.child} who lived in a {self.place} {w}.",
                f"There was a {self.place} {w}, and in the smallest house lived {a}.")
        two = ""
        if b:
            two = c(f"{a.His} best friend was {b}, the {c('child', 'youngest child', 'oldest child')} of the {c(JOBS)}.",
                    f"{a.His} {b.sib} {b} was {c('older', 'younger')} and {c('liked', 'loved')} to {c('sing', 'climb trees', 'tell stories', 'swim', 'ask questions')}.",
                    f"Next door lived {b}, who {c('was never in a hurry', 'laughed at everything', 'knew every path in the hills', 'always had an idea', 'liked to help')}.",
                    f"{a} and {b} did everything together.")
        three = c("", "", f"They were not rich, but they were {c(FEEL_GOOD)}.", "Every day there was something to do.") if b else \
            c("", f"{a.He} liked {c('quiet evenings', 'long walks', 'warm bread', 'the smell of rain', 'the sound of the wind')}.")
        self.p(one, two, three)

    def weather(self):
        c = self.c
        return c(f"The sun was {c('warm', 'bright', 'low')} and the {c('birds were singing', 'sky was clear', 'air was sweet')}.",
                 f"It was {c('raining softly', 'snowing', 'windy', 'foggy', 'very hot')} that {c('day', 'morning')}.",
                 f"A {c('cold', 'soft', 'strong')} wind {c('blew from the sea', 'moved the trees', 'came down from the hills')}.",
                 f"Gray clouds {c('hung over the roofs', 'came over the hill')}, but nobody minded.", "", "")

    def day(self):
        return f"One {self.c(TIMES)}"

    def closing(self, a, b):
        c = self.c
        facts = self.facts[:]
        self.r.shuffle(facts)
        kin, he, his = c(KIN)
        mode = self.r.random()
        if facts and mode < 0.6:
            start = c(f"That {c('night', 'evening')} {a}'s {kin} wanted to hear the whole story.",
                      f"When {a} came home, {a.his} {kin} was {c('waiting at the door', 'sitting by the fire', 'making soup')}.",
                      f"Later, at {c('supper', 'the table', 'bedtime')}, {a.his} {kin} asked about the day.")
            lines = [start]
            for i, (q, ans) in enumerate(facts[: self.r.choice((1, 1, 2, 2, 3))]):
                asker = f"{a.his} {kin}" if i == 0 else he
                lines.append(self.ask(asker, q))
                lines.append(self.say(c(a.n, a.n, a.he) if i and he != a.he else a, ans))
            self.p(*lines)
            if self.some(0.6):
                self.p(c(f"{cap(a.his)} {kin} {c('smiled', 'nodded', 'laughed')}. {self.say(he, c('now it is time to sleep', 'you did well', 'that is a good story', 'I am proud of you'))}",
                         f"Then the {c('lamp went out', 'fire burned low', 'house was quiet')} and {a} slept until {c('morning', 'the sun came up')}."))
        elif mode < 0.85:
            self.p(c(f"From that day on {a} and {b} {c('were the best of friends', 'never argued again', 'shared everything they had', 'told the story every winter')}.",
                     f"{a} and {b} walked home {c('hand in hand', 'under the stars', 'as the moon came up', 'singing')}, and they were {c(FEEL_GOOD)}.",
                     f"And whenever {a} {c('passed that place', 'thought of that day')}, {a.he} thought of {b} and smiled."))

    def text(self):
        return "\n".join(self.paras)


# ---------------------------------------------------------------------------
# Plots
# ---------------------------------------------------------------------------
def plot_hidden(s):
    a, b, d, _ = s.people
    o, h = s.objs[0], s.hides[0]
    w1, w2 = s.hides[1], s.hides[2]
    c = s.c
    kin, he, his = c(KIN)
    s.opening(a, b)
    s.p(f"{a} had {an(o)}, {c('a gift from', 'which had once belonged to')} {a.his} {kin}.",
        c(f"{a.He} {c('never went anywhere without it', 'kept it very clean', 'loved it more than anything')}.", ""),
        f"{s.day()} {a} {c('was afraid that somebody would take', 'did not want to lose', 'decided to hide')} the {o}, so {a.he} {c('put it', 'hid it', 'laid it')} {h}.",
        c("Nobody saw it.", f"Only {a} knew the place.", f"Then {a.he} went home.", ""))
    s.p(f"{c('The next day', 'A week later', 'That evening', 'On ' + c(DAYS))} {b} came to the door.", s.weather(),
        s.ask(b, c(f"may I see the {o}", f"will you show me the {o}", f"do you still have the {o}")),
        c(f"But {a} had forgotten where it was.", f"{a} thought for a long time but could not remember the place.", f"{a} looked {c(FEEL_BAD)}, because {a.he} could not remember where {a.he} had put it."))
    s.p(c(f"They looked {w1}, but the {o} was not there.", f"First they looked {w1}. There was nothing but {c('dust', 'leaves', 'an old shoe', 'a sleeping cat', 'mud')}."),
        c(f"Then they looked {w2}, and it was not there either.", f"After that they searched {w2}, but they found only {c('a spider', 'some nails', 'wet stones', 'a nest')}."),
        c(s.say(b, "we will never find it"), s.say(b, f"think, {a}. Where did you go that day"), ""))
    s.p(c(f"At last {a} remembered.", f"Suddenly {a} jumped up.", f"Then {a} saw {c('a bird', 'a cloud', 'a beetle')} and everything came back."),
        c(s.shout(a.n, f"I put it {h}"), s.say(a, f"I hid the {o} {h}"), s.shout(a.n, f"the {o} is {h}")),
        f"They ran {c('there at once', 'as fast as they could', 'all the way')}, and {h} they found the {o}.",
        c(f"{b} held it up to the light.", f"{a} hugged {b}.", f"It was {c('a little dirty', 'cold and wet', 'as lovely as before')}, but it was not broken.", ""))
    s.fact(f"where was the {o}", c(f"it was {h}", h, f"I had left it {h}"))
    s.fact(f"who helped you to find the {o}", c(f"{b} did", f"it was {b}"))
    if s.some(0.4):
        s.p(f"The next time, {a} {c('told', 'showed')} {d} the place too. {s.ask(d, 'where is it')} {s.say(a, h)}",
            c("Now it could never be lost again.", ""))
    s.closing(a, b)


def plot_lend(s):
    a, b, d, e = s.people
    o, h = s.objs[0], s.hides[0]
    c = s.c
    s.opening(a, b)
    need = c("to show it to", "to make a picture of it for", "to play with", "to surprise")
    s.p(f"{s.day()} {b} asked {a} for the {o}.",
        s.say(b, c("I will bring it back tomorrow", "I only need it for one day", "I will take good care of it"), "said"),
        f"{a} {c('thought about it', 'was not sure', 'smiled')} and {c('gave it to ' + b.him, 'handed over the ' + o)}.")
    s.p(f"But {b} {c('met', 'saw', 'ran into')} {d} {c('on the road', 'at the market', 'by the river', 'near the school')}.",
        s.ask(d, c(f"what a fine {o.split()[-1]}! May I borrow it", f"can I have the {o} for a little while")),
        f"So {b} lent the {o} to {d}.",
        f"{d} {c('played with it', 'carried it around')} all {c('day', 'afternoon')} and then {c('put it', 'left it')} {h}.")
    s.p(f"{c('The next morning', 'The day after', 'On ' + c(DAYS))} {a} wanted the {o} back.",
        s.ask(a, f"{b}, where is my {o}"),
        c(f"{b} turned red.", f"{b} looked at the ground.", ""),
        s.say(b, c(f"I gave it to {d}", f"I lent it to {d}", f"{d} has it")))
    s.p(f"So {a} went to {d}{c('', ', who was sitting ' + c('in the sun', 'by the fire', 'on the steps'))}.",
        s.ask(a, c(f"do you have my {o}", f"where is the {o} that {b} gave you")),
        s.say(d, c(f"I left it {h}", f"it is {h}", f"I put it {h} so that nobody would take it")),
        f"{a} looked {h}, and there {c('was', 'lay')} the {o}.")
    moral = c(f"After that {b} always asked {a} first.", f"{b} said sorry, and {a} was not angry for long.",
              f"{d} said sorry, and so did {b}.", f"{s.say(a, 'next time bring it straight back to me')} {b} promised.")
    s.p(moral)
    s.fact(f"who left the {o} {h}", c(f"{d} did", f"it was {d}"))
    s.fact(f"where did you find the {o}", c(h, f"I found it {h}"))
    s.fact(f"who gave the {o} to {d}", c(f"{b} did", f"{b} gave it to {d.him}"))
    s.closing(a, b)


def plot_market(s):
    a, b, d, _ = s.people
    c = s.c
    items = s.r.sample(FOOD, 3)
    kin, he, his = c(KIN)
    s.opening(a, b if s.some(0.5) else None)
    s.p(f"{s.day()} {a}'s {kin} {c('called from the kitchen', 'sat at the table', 'counted the coins')}.",
        s.say(he, f"please go to the market and buy {join(items)}"),
        s.say(a, f"{join(items)}, I will not forget"),
        f"{a} took {c('a basket', 'the big basket', s.c(NUM) + ' coins')} and went {c('out', 'down the road', 'off to the market')}.")
    dist = c(f"a {c('clown', 'man', 'woman')} was {c('dancing', 'singing', 'telling stories')}", f"{b} was {c('flying a kite', 'playing the flute', 'throwing stones into the pond')}",
             f"two {c('dogs', 'goats', 'geese')} were {c('fighting', 'running in circles')}")
    s.p(f"On the way {dist}, and {a} stopped to watch.", c("It was very funny.", "Time went by quickly.", ""),
        f"When {a.he} came to the market, {a.he} had forgotten one thing.",
        s.say(a, f"I remember the {items[0]} and the {items[1]}", "said"), s.ask(a.he, "but what was the last thing"))
    who = c(JOBS)
    s.p(f"{b} was {c('there too', 'standing by the ' + who)}.",
        s.ask(b, c("what is the matter", "why do you look so worried")),
        s.say(a, f"my {kin} needs {items[0]}, {items[1]} and something else"),
        s.ask(b, f"was it {c([f for f in FOOD if f not in items])}"), s.say(a, "no, it was not that"),
        s.ask(b, f"was it {items[2]}"),
        s.shout(a.n, f"yes, {items[2]}"))
    s.p(f"So {a} bought {join(items)} and {c('ran', 'walked', 'hurried')} home.",
        f"{cap(a.his)} {kin} looked into the basket. {s.say(he, c(f'{join(items)}, everything is here', f'here are the {items[0]}, the {items[1]} and the {items[2]}'))}",
        c(f"{a} {c('smiled', 'laughed')} and thought of {b}.", f'"{b} helped me," {a} said.'))
    s.fact("what did you buy at the market", c(join(items), f"I bought {join(items)}"))
    s.fact("what did you forget", f"I forgot the {items[2]}")
    s.fact("who helped you at the market", f"{b} did")
    s.closing(a, b)


def plot_message(s):
    a, b, d, _ = s.people
    c = s.c
    m = c(MESSAGES)
    job = c(JOBS)
    s.opening(a, b if s.some(0.6) else None)
    s.p(f"{s.day()} the {job} came to {a}.", s.weather(),
        s.say(f"the {job}", c(f"run to {d} and tell {d.him} that {m}", f"please tell {d} that {m}", f"{d} must know that {m}")),
        s.ask(a, f"where is {d}"), s.say(f"the {job}", f"{d} is {c('at the harbor', 'at the mill', 'in the castle', 'on the hill', 'at the market', 'in the next village')}"),
        f"{a} {c('put on', 'took')} {a.his} {c('coat', 'boots', 'hat')} and {c('ran', 'left at once', 'set out')}.")
    obst = c(f"a {c('river', 'fallen tree', 'deep ditch', 'flock of geese')} lay across the road", f"it began to {c('rain', 'snow')}", "the path was full of thorns", f"{an(c(ANIMALS))} followed {a.him} all the way")
    s.p(f"On the way {obst}, but {a} did not {c('stop', 'turn back')}.",
        f"So that {a.he} would not forget, {a.he} said it again and again. \"{cap(m)}. {cap(m)}.\"",
        c(f"Then {a.he} met {b}.", f"At the crossroads stood {b}."),
        s.ask(b, "where are you going in such a hurry"),
        s.say(a, c(f"I must tell {d} that {m}", f"I have a message from the {job} for {d}")),
        c(s.say(b, "then I will come with you"), s.say(b, "take the short way"), ""))
    s.p(f"At last {a} found {d}. {s.ask(d, c('what is it', 'why are you out of breath'))}",
        s.say(a, c(f"the {job} says that {m}", m)),
        s.ask(d, "who sent you") + " " + s.say(a, c(f"the {job} did", f"the {job}")) if s.some(0.5) else "")
    s.p(f"{d} {c('thanked', 'looked at')} {a}. {s.say(d, c('thank you, ' + a.n, 'it is good that you came', 'you are a fast runner'))}",
        f"{d.He} gave {a.him} {c('a cup of warm milk', 'a piece of cake', 'a coin', 'two apples')}, and {a} went home {c('slowly', 'with a light heart', 'in the moonlight')}.")
    s.fact(f"what did you tell {d}", c(f"I told {d.him} that {m}", m))
    s.fact("who sent you", c(f"the {job}", f"the {job} did"))
    s.fact(f"who was the message for", f"it was for {d}")
    s.closing(a, b)


def plot_password(s):
    a, b, _, _ = s.people
    c = s.c
    w = c(PASSWORDS)
    el, he, him, his = c(ELDERS)
    o = s.objs[0]
    gate = c("gate of the castle", "door in the mountain", "little door in the wall", "gate of the garden", "door of the tower")
    g = gate.split()[0] if gate.split()[0] != "little" else "door"
    s.opening(a, b)
    s.p(f"{s.day()} {a} {c('met', 'helped', 'shared ' + a.his + ' bread with')} {el} {c('on the road', 'in the forest', 'by the river', 'at the well')}.",
        s.say(el, c(f"because you are kind, I will tell you a secret", "listen well, for I will say it only once")),
        s.say(he, f"the word that opens the {gate} is {w}"),
        s.say(a, c(f"{w}, I will remember it", f"{w}. Thank you")),
        c(f"Then {el} was gone.", f"{cap(he)} {c('smiled', 'nodded')} and walked away.", ""))
    wrong = c([x for x in PASSWORDS if x != w])
    s.p(f"{a} ran to {b} and told {b.him} {c('everything', 'what had happened')}.",
        f"Together they {c('walked', 'climbed', 'went')} to the {gate}. It was {c('locked', 'closed', 'covered with leaves')}.",
        f"{b} {c('pushed', 'knocked')}, but nothing happened.",
        s.say(b, c("let me try a word", "I know a word"), "said"), s.shout(b.n, wrong), f"The {g} did not move.",
        s.ask(b, f"what was the word that {el} told you"),
        s.shout(a.n, w), f"And the {g} {c('opened', 'swung open', 'opened slowly')}.")
    s.p(f"Inside {c('stood a table', 'was a small room', 'was a garden full of light')}, and {c('there', 'in the middle')} lay {an(o)}.",
        s.say(c(a, b), c(f"the {o} must belong to {el}", f"I have never seen such {an(o)}")),
        c(f"They took the {o} and brought it to {el}, who {c('laughed with joy', 'wept', 'had lost it long ago')}.",
          f"They left the {o} where it was and closed the {g} again.",
          f"{a} gave the {o} to {b}, because {b} had come along without fear."))
    s.fact("what was the secret word", c(f"the word was {w}", f"it was {w}", w))
    s.fact("who told you the word", c(f"it was {el}", f"{el} did"))
    s.fact(f"what was behind the {g}", c(an(o), f"there was {an(o)}"))
    s.closing(a, b)


def plot_gifts(s):
    a, b, d, e = s.people
    c = s.c
    o1, o2, o3 = s.objs[:3]
    s.opening(a, None if s.some(0.5) else b)
    age = c(NUM)
    s.p(f"On {c(DAYS)} {a} turned {age}{c('', ', and there was a feast in the garden')}.", s.weather(),
        f"{b} brought {an(o1)}, {d} brought {an(o2)}, and {e} brought {an(o3)}.",
        s.say(a, c("thank you all", "these are the best gifts in the world", f"I have never been so {c(FEEL_GOOD)}")),
        c(f"They ate {c('cake', 'pears', 'soup and bread')} and {c('danced', 'sang')} until it was dark.", ""))
    pairs = [(b, o1), (d, o2), (e, o3)]
    s.r.shuffle(pairs)
    (p1, x1), (p2, x2), (p3, x3) = pairs
    kin, he, his = c(KIN)
    s.p(f"When the guests had gone, {a}'s {kin} came to look at the gifts.",
        s.ask(he, f"who gave you the {x1}"), s.say(a, c(f"{p1} did", f"it was {p1}", f"that is from {p1}")),
        s.ask(he, f"and the {x2}"), s.say(a, c(f"{p2} gave it to me", f"that one is from {p2}", f"{p2}")),
        s.say(he, f"then the {x3} must be from {p3}"), f"{a} nodded.")
    h = s.hides[0]
    s.p(f"{a} put the {x1} {h}, because {c('it was too big for the house', 'it was the one ' + a.he + ' liked best', a.he + ' wanted to keep it safe')}.",
        f"{c('The next day', 'Soon after')} {p1} came back. {s.ask(p1, 'where is my gift')} {s.say(a, c(f'the {x1} is {h}', h, f'I put it {h}'))}",
        c(f"{p1} was {c(FEEL_GOOD)}.", f"They went to look at it together.", ""))
    s.fact(f"who brought the {x3}", c(f"{p3} did", f"{p3} brought it"))
    s.fact(f"what did {p2} bring", c(an(x2), f"{p2} brought {an(x2)}"))
    s.fact("how old are you now", c(f"I am {age}", age))
    s.closing(a, c(b, d, e))


def plot_map(s):
    a, b, _, _ = s.people
    c = s.c
    ds = s.r.sample(DIRS, 3)
    o, h = s.objs[0], s.hides[0]
    f = c("an old map", "a letter", "a piece of paper", "a yellow note")
    noun = f.split()[-1]
    s.opening(a, b)
    s.p(f"{s.day()} {a} found {f} {h}.",
        c(f"The {noun} was {c('torn', 'wet', 'very old')}, but {a} could read it.", f"{a} showed it to {b} at once.", ""),
        c("It said:", f"On the {noun} was written:"), f'"{cap(ds[0])}. Then {ds[1]}. Then {ds[2]}. There you will find the {o}."')
    s.p(s.say(b, c("let us go", "we must look for it", "I am not afraid")),
        f"They {PAST[ds[0]]}.", c(f"The wind was {c('cold', 'strong')}.", f"A {c(COLORS)} bird {c('flew over them', 'sang')}.", ""),
        s.ask(a, "what comes next"), s.say(b, c(f"the {noun} says that we must {ds[1]}", f"now we {ds[1]}")),
        f"So they {PAST[ds[1]]}.")
    s.p(c(f"{b} was tired and sat down.", f"It was getting {c('dark', 'late')}."),
        s.ask(b, c("are we there yet", "what is the last thing")), s.say(a, c(f"one more thing: {ds[2]}", f"we only have to {ds[2]}")),
        f"They {PAST[ds[2]]}, and there, {c('in the sand', 'between the roots', 'in a small box', 'under some leaves')}, was the {o}.",
        s.shout(c(a, b).n, c("we found it", f"the {o}", "it is really here")))
    owner = c(JOBS)
    s.p(c(f"They showed the {o} to the {owner}. {s.say('the ' + owner, c('I lost it when I was a child', 'that was mine long ago', 'my father wrote that ' + noun))}",
          f"{a} {c('carried', 'held')} the {o} on the way home, and {b} carried the {noun}.",
          f"They decided to share it: {a} would keep the {o} in the winter and {b} in the summer."))
    s.fact(f"where did you find the {noun}", c(h, f"I found it {h}"))
    s.fact("how did you get there", f"we {PAST[ds[0]]}, {PAST[ds[1]]} and {PAST[ds[2]]}")
    s.fact("what did you find", c(f"we found the {o}", f"the {o}"))
    s.closing(a, b)


def plot_trade(s):
    a, b, d, e = s.people
    c = s.c
    o1, o2, o3 = s.objs[:3]
    s.opening(a, None)
    s.p(f"{a} had {an(o1)}, but {a.he} {c('wished for', 'dreamed of', 'wanted')} {an(o2)}.",
        f"{b} had {an(o2)}, so {a} went to {b.him}.", s.ask(a, f"will you give me the {o2} for my {o1}"),
        s.say(b, f"no, I do not need {an(o1)}. {c('But I would like', 'Bring me')} {an(o3)}"))
    s.p(f"{a} {c('walked through the whole ' + s.place.split()[-1], 'asked everybody')} and at last {a.he} found {d}, who had {an(o3)}.",
        s.ask(a, f"what do you want for the {o3}"),
        s.say(d, c(f"give me the {o1}", f"I would take the {o1} for it", f"if you give me your {o1}, you may have it")),
        f"So {a} gave the {o1} to {d} and {c('got', 'took')} the {o3}.",
        c(f"{d} was {c(FEEL_GOOD)}.", ""))
    s.p(f"Then {a} {c('hurried', 'ran', 'went')} back to {b}.", s.say(a, f"here is the {o3}"),
        c(s.ask(b, "who gave it to you") + " " + s.say(a, f"{d} did"), f"{b} {c('could not believe it', 'clapped and laughed')}."),
        f"{b} took the {o3} and gave {a.him} the {o2}.", f"Now {a} had the {o2}, {b} had the {o3}, and {d} had the {o1}.",
        c("Everybody was content.", "It was a good day for all three.", ""))
    if s.some(0.5):
        s.p(f"On the way home {a} met {e}. {s.ask(e, f'where is your {o1}')}",
            s.say(a, c(f"{d} has it now", f"I gave it to {d}")), s.ask(e, f"and what do you have there"), s.say(a, c(an(o2), f"this is my {o2}")))
    s.fact(f"who has the {o1} now", c(f"{d} has it", f"{d}"))
    s.fact(f"who has the {o3} now", c(f"{b} has it", f"{b}"))
    s.fact(f"what did {b} give you", c(f"{b.he} gave me the {o2}", f"the {o2}"))
    s.closing(a, b)


def plot_animal(s):
    a, b, d, _ = s.people
    c = s.c
    kind, name, col, mark = c(ANIMALS), c(ANIMAL_NAMES), c(COLORS), c(MARKS)
    h = s.hides[0]
    s.opening(a, b if s.some(0.5) else None)
    s.p(f"{a} had {an(col)} {kind} {c('called', 'named')} {name}. It had {mark}.",
        c(f"Every morning {name} {c('waited at the door', 'woke ' + a.him + ' up', 'followed ' + a.him + ' to the well')}.", ""),
        f"{s.day()} {name} was gone.", s.ask(a, c(f"{name}, where are you", f"has anybody seen {name}")), c("But there was no answer.", "Only the wind answered.", ""))
    s.p(f"{a} {c('ran to', 'asked')} {b}.", s.ask(a, f"have you seen my {kind}") if s.some(.6) else s.say(a, f"I have lost my {kind}"),
        s.ask(b, c("what does it look like", f"what color is it")), s.say(a, c(f"it is {col} and it has {mark}", f"{name} is {col}, with {mark}")),
        s.say(b, c("I have not seen it, but I will help you", "no, but let us look together")))
    ocol = c([x for x in COLORS if x != col])
    s.p(f"They looked {s.hides[1]} and {s.hides[2]}. They found {an(ocol)} {kind}, but it did not have {mark}.",
        s.say(a, f"that is not {name}"),
        c(f"{a} began to cry.", f"It was almost dark.", f"{a} was {c(FEEL_BAD)}."))
    s.p(f"Then {d} came {c('along the road', 'over the hill', 'out of the fog')}.",
        s.ask(d, c(f"are you looking for {an(col)} {kind} with {mark}", f"does your {kind} have {mark}")),
        s.shout(a.n, "yes"), s.say(d, c(f"I saw it {h}", f"it is sleeping {h}")),
        f"They ran, and {h} {c('sat', 'was', 'lay')} {name}, {c('safe and warm', 'fast asleep', 'hungry but well')}.",
        c(f'"{name}!" cried {a}.', f"{a} thanked {d}.", f"{name} was so {c('happy', 'glad')} to see {a}."))
    s.fact(f"where was {name}", c(h, f"{name} was {h}"))
    s.fact(f"who found {name}", c(f"{d} did", f"{d} saw it first"))
    s.fact(f"who helped you to look", f"{b} did")
    s.closing(a, b)


def plot_song(s):
    a, b, d, _ = s.people
    c = s.c
    l1, l2 = c(SONGS)
    kin, he, his = c(KIN)
    s.opening(a, b if s.some(0.4) else None)
    s.p(f"{a}'s {kin} knew {c('a song', 'an old song', 'only one song')}, and {he} sang it {c('every evening', 'when it rained', 'while ' + he + ' worked')}.",
        f'"{l1} {l2}"', f"{a} {c('loved the song', 'knew it by heart', 'sang it too')}.")
    s.p(f"{s.day()} {a} and {b} {c('went into the forest for wood', 'were walking home over the hill', 'were looking for berries', 'rowed out on the lake')}.",
        c("A thick fog came up.", "Night fell quickly.", "Snow began to fall."), f"Soon they could not see {c('the path', 'anything', 'each other')}.",
        s.say(b, c("I am afraid", "we are lost", "I do not know the way")),
        s.say(a, c("then let us sing", f"I know the song of my {kin}", f"my {kin} has a song for times like this")),
        f'And {a} {c("sang", "began to sing")}, "{l1} {l2}"')
    s.p(f"{d} was {c('at home', 'feeding the hens', 'closing the window', 'on the road')} and heard {c('the song', 'a voice')}.",
        f'"{l1} {l2}"', s.say(d, c(f"that must be {a}", f"only {a} sings that song")),
        f"{d} took {c('a lamp', 'a torch', 'the big bell')} and followed the sound until {d.he} found {a} and {b}.",
        s.ask(b, "how did you find us"), s.say(d, c(f"I heard {a} singing", "I followed the song")))
    s.p(c(f"They walked home together, and all three sang. \"{l1} {l2}\"", f"Since then {b} knows the song too. \"{l1} {l2}\"", f"At home {a}'s {kin} {c('hugged them', 'gave them soup')}."))
    s.fact("who found you", c(f"{d} did", f"{d} found us"))
    s.fact("who was with you", c(f"{b} was", f"{b} was with me"))
    s.fact("what did you do when you were lost", c("we sang the song", "we sang"))
    s.closing(a, b)


def plot_garden(s):
    a, b, d, _ = s.people
    c = s.c
    p1, p2, p3 = s.r.sample(PLANTS, 3)
    s1, s2, s3 = s.r.sample(SPOTS, 3)
    s.opening(a, b)
    s.p(f"In the spring {a}, {b} and {d} {c('made a garden', 'dug the ground', 'were given some seeds')}.",
        f"{a} planted {p1} {s1}, {b} planted {p2} {s2}, and {d} planted {p3} {s3}.",
        c(f"They gave the seeds water every {c('morning', 'evening')}.", "Then they waited.", "It rained for a week.", ""))
    trip = [(a, p1, s1), (b, p2, s2), (d, p3, s3)]
    s.r.shuffle(trip)
    (x, px, sx), (y, py, sy), (z, pz, sz) = trip
    s.p(f"{c('After some weeks', 'In the summer', 'One day')} something green came up {sx}.",
        s.ask(c(y, z), "what is that"), s.say(x, c(f"those are my {px}", f"I planted {px} there")),
        f"Soon there were {c('leaves', 'flowers')} {sy} too. {s.shout(y.n, c(f'my {py} are growing', f'look, my {py}'))}",
        f"But {sz} the ground was {c('bare', 'empty', 'dry')}.")
    s.p(f"{z} was {c(FEEL_BAD)}. {s.ask(z, f'where are my {pz}')}",
        s.say(c(x, y), c(f"be patient. The {pz} need more time", f"we will give the {pz} more water")),
        f"Every day {c('they all', x.n + ' and ' + y.n)} carried water to the {c('spot', 'ground')} {sz}, and {c('after a week', 'at last', 'one morning')} the {pz} came up.",
        f"{z} {c('danced', 'laughed', 'jumped for joy')}.")
    job = c(JOBS)
    if s.some(0.6):
        s.p(f"The {job} {c('came by', 'looked over the fence')}. {s.ask('the ' + job, f'who planted the {px}')} {s.say(c(y, z), c(f'{x} did', f'it was {x}'))}",
            s.ask(f"the {job}", f"and what grows {sy}"), s.say(y, c(f"my {py}", f"{py}")))
    s.fact("what did you plant" if z is a else f"what did {z} plant", c(pz, f"I planted {pz}" if z is a else f"{z} planted {pz}"))
    s.fact(f"where did {'you' if y is a else y} plant the {py}", c(sy, f"{'I' if y is a else y} planted them {sy}"))
    s.fact(f"who planted the {px}", f"{x} did" if x is not a else "I did")
    s.closing(a, b)


def plot_trip(s):
    a, b, d, _ = s.people
    c = s.c
    o1, o2, o3 = s.objs[:3]
    goal = c("the island", "the top of the mountain", "the lighthouse", "the old castle", "the big cave", "the waterfall")
    s.opening(a, b)
    s.p(f"{s.day()} {a}, {b} and {d} {c('wanted to go', 'planned a trip', 'set out')} to {goal}.",
        s.say(a, f"everybody must bring one useful thing"),
        f"{a} packed {an(o1)}, {b} packed {an(o2)}, and {d} packed {an(o3)}.",
        c(f"{s.ask(b, f'why do you bring {an(o3)}')} {s.say(d, 'you will see')}", f"{b} laughed at the {o3}, but {d} only smiled.", ""))
    trip = [(a, o1), (b, o2), (d, o3)]
    s.r.shuffle(trip)
    (x, ox), (y, oy), (z, oz) = trip
    s.p(f"The way to {goal} was {c('long', 'steep', 'hard')}.", s.weather(),
        f"{c('By noon', 'After an hour')} they met {an(c('hungry', 'angry', 'old'))} {c('bear', 'wolf', 'sailor', 'giant')} who would not let them pass.",
        s.ask(c(y, z), "who has something to give"), s.say(x, c(f"I have {an(ox)}", f"take my {ox}")),
        f"{x} gave away the {ox}, and they could go on.")
    s.p(f"{c('Later', 'In the afternoon')} they came to {c('a gate', 'a river', 'a dark hole')} and could not go farther.",
        s.ask(x, c(f"what about the {oy}", f"{y}, what did you bring")), s.say(y, c(f"I have the {oy}", f"the {oy} may help us")),
        f"{y} took out the {oy}, and with the {oy} they {c('found a way', 'got across', 'made it through')}.",
        f"At last they stood {c('at', 'in front of')} {goal}. Only {z} still had something: the {oz}.")
    s.p(c(f"{z} left the {oz} there as a sign that they had come.", f"{s.say(z, f'now the {oz} belongs to all of us')}", f"They sat down, and {z} put the {oz} between them."),
        c("They watched the sun go down.", "It was very quiet.", "Then they ate and rested."))
    s.fact(f"who gave away the {ox}", f"{x} did" if x is not a else "I did")
    s.fact(f"what did {z} bring" if z is not a else "what did you bring", c(an(oz), f"it was {an(oz)}"))
    s.fact("where did you go", c(f"we went to {goal}", f"to {goal}"))
    s.closing(a, b)


PLOTS = [plot_hidden, plot_hidden, plot_lend, plot_market, plot_message, plot_password, plot_gifts, plot_map,
         plot_trade, plot_animal, plot_song, plot_garden, plot_trip]


def story(split, number):
    rng = random.Random(f"eigenscope-stories-1/{split}/{number}")
    s = Story(rng)
    rng.choice(PLOTS)(s)
    return s.text()


SIZES = {"train": 48_000_000, "calibration": 300_000, "heldout": 150_000}


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--split", choices=sorted(SIZES), required=True)
    ap.add_argument("--megabytes", type=float, help="size of the text (default: %s bytes)" % SIZES)
    ap.add_argument("--out", required=True)
    args = ap.parse_args()
    want = int(args.megabytes * 1e6) if args.megabytes else SIZES[args.split]
    seen, size, n = set(), 0, 0
    with open(args.out, "w", encoding="ascii", newline="\n") as f:
        while size < want:
            t = story(args.split, n)
            n += 1
            h = hash(t)
            if h in seen:
                continue
            seen.add(h)
            size += f.write(("" if size == 0 else "\n") + t + "\n")
    print(f"{args.out}: {len(seen)} stories, {size} bytes")


if __name__ == "__main__":
    main()
