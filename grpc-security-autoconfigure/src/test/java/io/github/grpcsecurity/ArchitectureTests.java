package io.github.grpcsecurity;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.Test;

import static com.tngtech.archunit.base.DescribedPredicate.alwaysTrue;
import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

/** The picture of the packages, in code. */
class ArchitectureTests {

	private static final String ROOT = "io.github.grpcsecurity";

	private static final JavaClasses CLASSES = new ClassFileImporter()
		.withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
		.importPackages(ROOT);

	@Test
	void serverWhenItIsTheCoreThenItKnowsNoFeature() {
		noClasses().that()
			.resideInAPackage(ROOT + ".server..")
			.should()
			.dependOnClassesThat(resideInAPackage(ROOT + "..").and(not(resideInAPackage(ROOT + ".server.."))))
			.check(CLASSES);
	}

	@Test
	void remoteWhenItServesAllThenItKnowsNobody() {
		noClasses().that()
			.resideInAPackage(ROOT + ".remote..")
			.should()
			.dependOnClassesThat(resideInAPackage(ROOT + "..").and(not(resideInAPackage(ROOT + ".remote.."))))
			.check(CLASSES);
	}

	@Test
	void featuresWhenTheyNeedEachOtherThenOnlyThroughServer() {
		slices().matching(ROOT + ".(*)..")
			.should()
			.notDependOnEachOther()
			.ignoreDependency(alwaysTrue(), resideInAPackage(ROOT + ".server.."))
			.ignoreDependency(alwaysTrue(), resideInAPackage(ROOT + ".remote.."))
			.ignoreDependency(resideInAPackage(ROOT + ".autoconfigure.."), alwaysTrue())
			.check(CLASSES);
	}

	@Test
	void autoconfigureWhenItWiresThenNothingKnowsIt() {
		noClasses().that()
			.resideOutsideOfPackage(ROOT + ".autoconfigure..")
			.should()
			.dependOnClassesThat()
			.resideInAPackage(ROOT + ".autoconfigure..")
			.check(CLASSES);
	}

	@Test
	void redisWhenFeaturesUseItThenOnlyInPackagesOfItsOwn() {
		noClasses().that()
			.resideOutsideOfPackages(ROOT + "..redis..", ROOT + ".autoconfigure..")
			.should()
			.dependOnClassesThat()
			.resideInAnyPackage("io.lettuce..", "org.springframework.data.redis..")
			.check(CLASSES);
	}

	@Test
	void devhWhenItIsOneServerOfTwoThenOnlyItsAdapterSeesIt() {
		noClasses().that()
			.resideOutsideOfPackage(ROOT + ".autoconfigure.devh..")
			.should()
			.dependOnClassesThat()
			.resideInAPackage("net.devh..")
			.check(CLASSES);
	}

	@Test
	void grpcWhenTheLibraryUsesItThenNoneOfItsInternals() {
		noClasses().should().dependOnClassesThat().resideInAPackage("io.grpc.internal..").check(CLASSES);
	}

}
