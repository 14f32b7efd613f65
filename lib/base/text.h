/*
 * text: what people read, in their language.
 *
 * The English text stands in the code, whole and with its conversions, and is
 * the name its translation is looked up by; a text without one stays English.
 * The system's locale does not matter: KMI_LOCALE decides.
 *
 *	printf(_("%zu keys are locked\n"), n);
 *	printf(text_plural(n, "%lld key\n", "%lld keys\n"), n);
 *	static const char *const purposes[] = { N_("stop the proxy"), ... };  ...  _(purposes[i])
 *
 * fail_set() and the messages of program.h look their formats up themselves, so
 * their callers need no _(). What programs read is never translated: --json,
 * state, trace and log. Who writes such says so before anything is loaded:
 *
 *	case 'j':
 *		json = true;
 *		text_english_only();
 *
 * Translations keep the order of the conversions, or number all of them (%1$s).
 */
#ifndef KMI_BASE_TEXT_H
#define KMI_BASE_TEXT_H

enum locale { LOCALE_EN, LOCALE_RU };

#define _(english) text_say(english)
/* Marks a literal for translators where no call can stand: in a table, in an initializer. */
#ifdef TEXT_COLLECT		/* tests/texts/catalogue.py reads the code after the preprocessor */
#define N_(english) text_mark(english)
#else
#define N_(english) english
#endif

/* The process's language; config_load() calls it. */
void text_locale_set(enum locale locale);
/* As KMI_LOCALE in the environment has it, for what is said before the configuration is read. */
void text_locale_guess(void);
/* English from now on, whatever is set later. */
void text_english_only(void);

const char *text_say(const char *english) __attribute__((format_arg(1)));
/* The form of a text that fits the number; both forms take it as %lld, first of all. */
const char *text_plural(long long n, const char *one, const char *many)
    __attribute__((format_arg(2))) __attribute__((format_arg(3)));
/* In that language, whatever the process's own: for a client's answer beside an English log. NULL stays NULL. */
const char *text_in(enum locale locale, const char *english) __attribute__((format_arg(2)));

#endif
